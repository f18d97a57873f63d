#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "guest/guest_kernel.h"
#include "kernel/backend.h"

namespace flashbench::guest {

/// How guests are kept.
struct GuestSettings {
  std::string program;  ///< this one, which serves plug-ins as a worker; "": they are loaded here
  std::string emulated_driver;  ///< the library of lib/emulated_driver; "": it was not found
  double patience_s = 120;
  std::string flags = {};  ///< of the command line, that say this: " --isolate false"
  std::function<bool()> stop_requested = {};
  /// Takes a line for the user about what is no case's failure.
  std::function<void(const std::string& line)> warn = {};
};

/// Other people's kernels beside those of a backend of this program, whose memory, clocks and peaks
/// they have: the processor's, or that of GPUs. Those in PTX run on an emulated GPU, which is the
/// processor too.
class GuestBackend final : public Backend {
 public:
  explicit GuestBackend(Backend& own);

  /// To be called before any guest is loaded.
  void configure(GuestSettings settings) { settings_ = std::move(settings); }

  const BackendInfo& info() const override;
  const std::vector<const Kernel*>& kernels() override { return kernels_; }
  std::vector<const Kernel*> kernels_of(const GuestSource& source) override;
  std::vector<const Kernel*> kernels_of(const PtxSource& source) override;
  std::optional<std::string> absent(std::optional<int> device) override;
  Execution execution(const ExecutionRequest& asked, Dtype dtype) override;
  Place place(const Execution& e) override;
  ExecutionTraits traits(const Execution& e) override;
  std::uint64_t free_bytes(const Execution& e) override { return own_.free_bytes(e); }
  std::optional<std::uint64_t> cache_bytes(const Execution& e) override {
    return own_.cache_bytes(e);
  }
  void flush_caches(const Execution& e) override;
  double queued_s(const Execution& e, const std::function<void()>& work) override;
  PeakSource peak_source(const Execution& e) override { return {&own_, e}; }
  std::vector<Execution> with_own_peaks(const ExecutionRequest&) override { return {}; }
  bool same_peaks(const Execution& a, const Execution& b) override;
  double peak_flop_s(const Execution& e, Dtype dtype) override;
  double peak_bytes_s(const Execution& e) override;
  PeakSubject peak_subject(const Execution& e, std::optional<Dtype> dtype) override;
  std::optional<DeviceReading> read(const Execution& e) override;
  std::optional<DeviceReading> read_clocks(const Execution& e) override;
  std::optional<double> energy_j(const Execution& e) override;

 private:
  /// One library or program.
  struct Loaded {
    GuestSource source;
    std::optional<std::string> sha256;  ///< of the file of a plug-in, as the run began
    std::map<std::string, std::shared_ptr<Guest>> guests;  ///< by threads, or by GPU
    std::vector<std::unique_ptr<GuestKernel>> kernels;
    int hangs = 0;
  };
  Loaded& loaded(const GuestSource& source);
  bool on_gpu() const { return info_.takes_device(); }
  /// As on_gpu(), and on the emulated device, where a plug-in's calls of the driver are executed.
  bool has_copies(const Execution& e) const { return on_gpu() || e.device == kEmulatedDevice; }
  std::shared_ptr<Guest> guest(Loaded& of, const Execution& e);
  std::shared_ptr<Guest> load(const GuestSource& source, const Execution& e) const;
  void warn(const std::string& line);
  void forward(const Problem& p, const Execution& e, const flashbench::Operands& io);

  Backend& own_;
  BackendInfo info_;
  GuestSettings settings_;
  LaunchQueue queue_;
  std::set<std::string> warned_;
  std::vector<std::unique_ptr<Loaded>> loaded_;
  std::vector<std::pair<GuestSource, std::string>> absent_;  ///< what said so, and why
  std::vector<std::pair<PtxSource, std::unique_ptr<Kernel>>> ptx_;
  std::vector<const Kernel*> kernels_;
};

}  // namespace flashbench::guest
