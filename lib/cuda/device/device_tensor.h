#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"
#include "cuda/device/device.h"

namespace flashbench::cuda {

/// A [batch, head, row, dim] tensor on a device. Its rows start at multiples of 16 bytes: columns
/// d .. stride are zero in what is written from the host, and are never read back.
class DeviceTensor {
 public:
  DeviceTensor() = default;
  DeviceTensor(Device& device, Dtype dtype, Dims dims, const std::string& name);

  static std::size_t bytes(Dtype dtype, const Dims& dims);
  /// Elements from one row to the next.
  static std::int64_t row_elements(Dtype dtype, std::int64_t d);

  /// `key_mask`, where it is not empty, is a [b, rows] padding mask: rows that it hides become
  /// zero, whatever `from` holds there.
  void write(const Tensor& from, std::span<const std::uint8_t> key_mask = {});
  void read(Tensor& to) const;
  void poison();
  void zero();
  /// Of a ragged batch as of one batch element with the rows of all.
  Rows rows() const;
  const DeviceBuffer& buffer() const { return buffer_; }

 private:
  Device* device_ = nullptr;
  Dtype dtype_ = Dtype::kF32;
  Dims dims_{};
  DeviceBuffer buffer_;
};

}  // namespace flashbench::cuda
