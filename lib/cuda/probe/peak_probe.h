#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "cuda/device/device.h"

namespace flashbench::cuda {

/// The buffer that bandwidth is read from: 8 times the L2 cache, of which then next to nothing is
/// still there when a pass comes round (with random replacement, exp(-8) of it).
std::size_t probe_bytes(const DeviceInfo& about);

/// What a GPU can do at most, measured now and again by kernels of this program.
class PeakProbe {
 public:
  /// The instruction whose rate counts as the peak of a dtype: the fastest one of the tensor cores
  /// where this program uses them, else the f32 multiply-add in which every dtype is then computed.
  static std::string_view instruction(int capability, Dtype dtype);

  explicit PeakProbe(Device& device) : device_(device) {}

  /// FLOP/s of that instruction on the whole GPU. One reading takes kReading_s.
  double flops(Dtype dtype);
  /// Bytes/s read from device memory. Takes the buffer when first called and keeps it.
  double read_bandwidth();

  /// Threads that one reading keeps busy; without a dtype, one of bandwidth.
  int threads(std::optional<Dtype> dtype) const;

  /// Long enough that a launch's latency (some 5 us) is lost in it.
  static constexpr double kReading_s = 5e-3;

 private:
  /// Work per second of a kernel of so many blocks that does `work` for each repeat.
  double rate(const std::string& entry, int blocks, double work, int& repeats);
  double seconds(const std::string& entry, int blocks, int repeats);

  Device& device_;
  DeviceBuffer buffer_, sink_;
  int fma_repeats_ = 1, matrix_repeats_ = 1, read_repeats_ = 1;  ///< of the last readings
};

}  // namespace flashbench::cuda
