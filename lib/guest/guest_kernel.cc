#include "guest/guest_kernel.h"

#include <fmt/format.h>

#include <utility>

#include "core/work.h"
#include "guest/guest_plan.h"
#include "guest/protocol.h"
#include "ptx/device.h"
#include "system/error.h"

namespace flashbench::guest {

bool LaunchQueue::take(GuestPlan& plan) {
  if (collecting_) launches_.push_back(&plan);
  return collecting_;
}

double LaunchQueue::collect(const std::function<void()>& work) {
  launches_.clear();
  collecting_ = true;
  try {
    work();
  } catch (...) {
    collecting_ = false;
    throw;
  }
  collecting_ = false;
  if (launches_.empty()) return 0;
  // Copies of the operands take turns, always in the same order.
  std::vector<GuestPlan*> turns = {launches_.front()};
  for (std::size_t i = 1; i < launches_.size() && launches_[i] != launches_.front(); ++i)
    turns.push_back(launches_[i]);
  return GuestPlan::run(turns, static_cast<std::int64_t>(launches_.size()));
}

GuestKernel::GuestKernel(AttentionType type, std::size_t index, const KernelFacts& facts, Host host)
    : info_{facts.name, type, facts.description},
      build_(facts.build),
      rounds_(facts.rounds),
      index_(index),
      host_(std::move(host)) {}

Supports GuestKernel::supports() const {
  Supports all;
  all.features = spoken_features();
  all.dtypes = {Dtype::kF32, Dtype::kBf16, Dtype::kF16};
  all.max_d = kMaxHeadDim;
  return all;
}

const Answer& GuestKernel::asked(const Problem& p, const Execution& e) const {
  const nlohmann::json problem = problem_message(p, e, host_.device(e));
  const auto [place, is_new] = answers_.try_emplace(problem.dump());
  if (!is_new) return place->second;
  try {
    place->second = host_.guest(e)->ask(index_, problem);
  } catch (const DeviceError& ended) {
    place->second = {.status = Status::kDeviceError, .why = ended.what()};
  }
  return place->second;
}

std::optional<Rejection> GuestKernel::rejects(const Problem& p, const Execution& e) const {
  const Answer& answer = asked(p, e);
  switch (answer.status) {
    case Status::kUnsupported:
      return Rejection{Rejection::Kind::kUnsupported, info_.name + ": " + answer.why};
    case Status::kNoMemory:
      return Rejection{Rejection::Kind::kMemory, info_.name + ": " + answer.why};
    case Status::kOk:
    case Status::kDeviceError:
    case Status::kFailed:
      return std::nullopt;  // plan() will say so
  }
  no_such_enumerator();
}

std::size_t GuestKernel::workspace_bytes(const Problem& p, const Execution& e) const {
  return asked(p, e).workspace_bytes;
}

std::size_t GuestKernel::host_bytes(const Problem& p, const Execution& e) const {
  const std::size_t shared = operand_bytes(p).total(), there = shared + workspace_bytes(p, e);
  if (e.device == kEmulatedDevice) return shared + ptx::Device::kHostBytesPerByte * there;
  return host_.on_gpu(e) ? shared : there;
}

std::size_t GuestKernel::device_bytes(const Problem& p, const Execution& e) const {
  return host_.on_gpu(e) ? operand_bytes(p).total() + workspace_bytes(p, e) : 0;
}

double GuestKernel::predicted_flop(const Problem& p, const Execution& e) const {
  if (const Answer& answer = asked(p, e); answer.flop_executed) return *answer.flop_executed;
  return count_work(p, expected_visible(p)).flop_visible;
}

std::unique_ptr<flashbench::Plan> GuestKernel::plan(const Problem& p, const Execution& e,
                                                    const Inputs& in) const {
  const Answer& answer = asked(p, e);
  if (answer.status == Status::kDeviceError)
    throw DeviceError(fmt::format("{}: {}", info_.name, answer.why));
  return std::make_unique<GuestPlan>(info_.name, index_, p, e, in, answer.layout, host_);
}

}  // namespace flashbench::guest
