#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernel/backend.h"
#include "measure/fake_clock.h"
#include "paper/paper_kernel.h"
#include "system/error.h"
#include "system/interrupt.h"

// A backend, its kernels and a clock that do as a test says: what app makes of them is tested in
// this process, without a GPU and without waiting.
namespace flashbench::app {

/// What the fakes do, and what was done to them. A test changes what it is about.
struct Script {
  measure::FakeClock clock;
  double call_s = 0.010;                  ///< of every launch
  std::optional<std::size_t> slow_after;  ///< launches; those after them take 500 times as long

  std::set<std::string> wrong;             ///< kernels whose O has one wrong element
  std::set<std::string> restless;          ///< whose later launches turn the last bit of one of O
  std::optional<std::int64_t> fails_at_d;  ///< launches of this d fail, and no other
  std::optional<std::int64_t> ends_at_d;   ///< a launch of this d ends the device
  bool stops_profiles = false;             ///< a signal comes while phases are timed
  std::optional<std::string> absent;       ///< why there is no device at all
  std::string peaks_fail;                  ///< the DeviceError of the peak probes
  std::optional<int> bandwidths_that_fit;  ///< readings before there is no memory for another one
  std::uint64_t free_bytes = std::uint64_t{1} << 40;
  std::size_t host_bytes = 0;          ///< workspace that every kernel asks for
  std::optional<double> power_w;       ///< makes the energy counter run
  std::vector<std::string> throttled;  ///< what its clocks are held down by
  double peak_flop_s = 1e9;

  // Of what times itself.
  double own_clock = 1;          ///< what its clock shows of every second
  double first_call_s = 0;       ///< that the first call on new inputs takes more
  std::set<std::string> repeat;  ///< kernels that compute once and give that again
  std::optional<int> renewals;   ///< of slate_flash; it fails at the next one
  std::string threads_folder;    ///< of slate_normal

  ExecutionTraits traits{.queues = true, .flushes_caches = true, .own_memory = true};

  std::vector<std::string> launches;  ///< the kernel of each, in order
  std::vector<const void*> inputs;    ///< Q of each
  std::vector<std::uint64_t> seeds;   ///< Execution::order_seed of each plan
  int flushes = 0, waits = 0;
  std::string lost;  ///< the error that ended the device
};

/// The papers' algorithm in the time that the script says.
class FakePlan final : public Plan {
 public:
  FakePlan(Script& script, std::string kernel, const Problem& p, const Inputs& in)
      : script_(script),
        kernel_(std::move(kernel)),
        problem_(p),
        computes_(paper::paper_kernel().plan(p, {}, in)) {
    require_device();
  }

  void prepare(const Operands& io) override {
    fresh_ = true;
    if (kernel_ == "slate_flash" && script_.renewals && prepared_++ > *script_.renewals)
      throw DeviceError("the new inputs were refused");
    computes_->prepare(io);
  }
  void launch(const Operands& io) override {
    require_device();
    script_.launches.push_back(kernel_);
    script_.inputs.push_back(io.in->q.data());
    if (problem_.shape.d == script_.ends_at_d) script_.lost = "the fake device burnt down";
    if (!script_.lost.empty()) throw DeviceError(script_.lost);
    if (problem_.shape.d == script_.fails_at_d) throw DeviceError("the launch was refused");
    if (kept_.empty())
      computes_->launch(io);
    else
      std::copy_n(kept_.begin(), kept_.size(), io.out->o.as<float>());
    if (script_.repeat.contains(kernel_) && kept_.empty())
      kept_.assign(io.out->o.as<float>(), io.out->o.as<float>() + io.out->o.count());
    if (script_.wrong.contains(kernel_)) io.out->o.set(0, 100.0f);
    if (launches_++ > 0 && script_.restless.contains(kernel_)) {
      Tensor& o = io.out->o;
      o.set(o.count() - 1, std::nextafter(o.at(o.count() - 1), 100.0f));
    }
    const bool slow = script_.slow_after && script_.launches.size() > *script_.slow_after;
    script_.clock.advance(slow ? 500 * script_.call_s : script_.call_s);
    if (std::exchange(fresh_, false)) script_.clock.advance(script_.first_call_s);
  }
  std::string threads_folder() const override {
    return kernel_ == "slate_normal" ? script_.threads_folder : "";
  }
  std::size_t workspace_bytes() const override { return 0; }
  double flop_executed() const override { return computes_->flop_executed(); }
  std::vector<PhaseProfile::Row> profile(const Operands& io) override {
    if (script_.stops_profiles) throw Interrupted{};
    return computes_->profile(io);
  }

 private:
  void require_device() const {
    if (!script_.lost.empty()) throw UnavailableError("lost to an earlier error: " + script_.lost);
  }

  Script& script_;
  std::string kernel_;
  Problem problem_;
  std::unique_ptr<Plan> computes_;
  std::vector<float> kept_;
  int launches_ = 0, prepared_ = 0;
  bool fresh_ = true;
};

class FakeKernel final : public Kernel {
 public:
  FakeKernel(Script& script, std::string name, AttentionType type)
      : script_(script), info_{std::move(name), type, "a fake for tests"} {}

  const KernelInfo& info() const override { return info_; }
  Supports supports() const override { return paper::paper_kernel().supports(); }
  std::size_t workspace_bytes(const Problem&, const Execution&) const override { return 0; }
  std::size_t host_bytes(const Problem&, const Execution&) const override {
    return script_.host_bytes;
  }
  std::size_t device_bytes(const Problem& p, const Execution&) const override {
    return 1000 * static_cast<std::size_t>(p.shape.d);
  }
  double predicted_flop(const Problem& p, const Execution& e) const override {
    return paper::paper_kernel().predicted_flop(p, e);
  }
  std::unique_ptr<Plan> plan(const Problem& p, const Execution& e,
                             const Inputs& in) const override {
    script_.seeds.push_back(e.order_seed);
    return std::make_unique<FakePlan>(script_, info_.name, p, in);
  }

 private:
  std::optional<Rejection> rejects(const Problem&, const Execution&) const override {
    if (script_.lost.empty()) return std::nullopt;
    return Rejection{Rejection::Kind::kAbsent, "lost to an earlier error: " + script_.lost};
  }

  Script& script_;
  KernelInfo info_;
};

/// "--backend slate": a device of its own, with a kernel for flash and one for normal.
class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(Script& script) : script_(script) {}

  const BackendInfo& info() const override { return info_; }
  const std::vector<const Kernel*>& kernels() override { return kernels_; }
  std::optional<std::string> absent(std::optional<int>) override { return script_.absent; }
  std::vector<DeviceStatus> devices() override {
    DeviceStatus status;
    status.absent = script_.absent;
    status.name = "Slate Tablet";
    return {status};
  }
  Execution execution(const ExecutionRequest& asked, Dtype) override {
    return {.device = asked.device.value_or(0), .deterministic = asked.deterministic};
  }
  Place place(const Execution& e) override {
    return {.isa = {}, .threads = {}, .device = device_text(e.device)};
  }
  ExecutionTraits traits(const Execution&) override { return script_.traits; }
  std::uint64_t free_bytes(const Execution&) override { return script_.free_bytes; }
  void flush_caches(const Execution&) override { ++script_.flushes; }
  double queued_s(const Execution&, const std::function<void()>& work) override {
    const double before_s = script_.clock.now_s();
    work();
    return script_.own_clock * (script_.clock.now_s() - before_s);
  }
  void wait_for_previous(const Execution&) override { ++script_.waits; }
  std::vector<Execution> with_own_peaks(const ExecutionRequest&) override { return {Execution{}}; }
  bool same_peaks(const Execution& a, const Execution& b) override { return a.device == b.device; }
  double peak_flop_s(const Execution&, Dtype) override {
    if (!script_.peaks_fail.empty()) throw DeviceError(script_.peaks_fail);
    return script_.peak_flop_s;
  }
  double peak_bytes_s(const Execution&) override {
    if (script_.bandwidths_that_fit && bandwidths_++ >= *script_.bandwidths_that_fit)
      throw OutOfMemoryError("it takes more than there is");
    return 1e9;
  }
  PeakSubject peak_subject(const Execution&, std::optional<Dtype>) override { return {"chalk", 7}; }
  std::optional<DeviceReading> read(const Execution& e) override { return read_clocks(e); }
  std::optional<DeviceReading> read_clocks(const Execution&) override {
    DeviceReading reading;
    reading.sm_clock_hz = script_.throttled.empty() ? 2e9 : 1e9;
    reading.max_sm_clock_hz = 2e9;
    reading.throttle_reasons = script_.throttled;
    return reading;
  }
  std::optional<double> energy_j(const Execution&) override {
    if (!script_.power_w) return std::nullopt;
    return *script_.power_w * script_.clock.now_s();
  }

 private:
  Script& script_;
  int bandwidths_ = 0;
  BackendInfo info_{.id = {"slate"}, .title = "Slate", .device_noun = "tablet"};
  FakeKernel flash_{script_, "slate_flash", AttentionType::kFlash};
  FakeKernel normal_{script_, "slate_normal", AttentionType::kNormal};
  std::vector<const Kernel*> kernels_ = {&flash_, &normal_};
};

}  // namespace flashbench::app
