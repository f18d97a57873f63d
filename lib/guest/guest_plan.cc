#include "guest/guest_plan.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "core/work.h"
#include "guest/protocol.h"
#include "kernel/late_refusal.h"
#include "system/error.h"

namespace flashbench::guest {
namespace {

int next_id() {
  static int last = 0;
  return ++last;
}

/// What holds other numbers in every sample.
Names changing(const Placement& inputs, const Placement& outputs) {
  Names names;
  for (const Placed& t : inputs.tensors)
    for (const char* name : {"q", "k", "v", "do"})
      if (t.name == name) names.inputs.push_back(t.name);
  for (const Placed& t : outputs.tensors) names.outputs.push_back(t.name);
  return names;
}

}  // namespace

template <typename F>
Answer GuestPlan::told(F&& call) const {
  Answer answer;
  try {
    answer = call();
  } catch (const DeviceError& e) {
    throw DeviceError(fmt::format("{}: {}", name_, e.what()));
  }
  const std::string what = fmt::format("{}: {}", name_, answer.why);
  switch (answer.status) {
    case Status::kOk:
      return answer;
    case Status::kUnsupported:
      throw LateRefusal(what);
    case Status::kNoMemory:
      throw OutOfMemoryError(what);
    case Status::kDeviceError:
    case Status::kFailed:
      throw DeviceError(what);
  }
  no_such_enumerator();
}

GuestPlan::GuestPlan(const std::string& name, std::size_t kernel, const Problem& p,
                     const Execution& e, const Inputs& in, Layout layout, const Host& host)
    : name_(name),
      problem_(p),
      execution_(e),
      host_(host),
      inputs_(&in),
      in_place_(place_inputs(p, in, layout)),
      out_place_(place_outputs(p, layout)),
      changing_(changing(in_place_, out_place_)),
      in_(in_place_.bytes),
      out_(out_place_.bytes),
      id_(next_id()) {
  in_.seal(Access::kReadOnly);
  out_.seal(Access::kReadWrite);
  // NaN between the inputs, too: who reads beyond one finds out.
  std::memset(in_.data(), 0xFF, in_.bytes());
  poison(out_);
  copy_inputs(in, in_place_, in_, Given::kFixed);
  answer_ = told([&] {
    guest_ = host_.guest(e);
    return guest_->plan(kernel, id_, problem_message(p, e, host_.device(e)),
                        {&in_place_, &in_, &out_place_, &out_});
  });
  in_.close();  // a process may have a thousand of them open, and copies for a cold cache are many
  out_.close();
}

GuestPlan::~GuestPlan() {
  if (!guest_) return;
  try {
    guest_->drop(id_);
  } catch (const DeviceError& e) {  // its results are judged; the next case has a fresh process
    host_.warn(fmt::format("{}: as its plan was destroyed: {}", name_, e.what()));
  }
}

void GuestPlan::prepare(const flashbench::Operands& io) {
  poison(out_);
  copy_inputs(*io.in, in_place_, in_, Given::kForward);
  Names late = changing_;
  if (problem_.pass == Pass::kBackward) {
    if (answer_.prepares) {
      give(changing_);
      const Answer prepared = told([&] { return guest_->prepare(id_); });
      if (prepared.writes_lse) answer_.writes_lse = prepared.writes_lse;
      late = {{"do"}, {}};
    } else {
      host_.forward(problem_, execution_, io);
      copy_forward(*io.out, out_place_, out_);
    }
  }
  copy_inputs(*io.in, in_place_, in_, Given::kGradient);
  give(late);
}

void GuestPlan::give(const Names& tensors) {
  if (host_.on_gpu) told([&] { return guest_->give(id_, tensors); });
}

void GuestPlan::launch(const flashbench::Operands&) {
  if (!host_.queue->take(*this)) run({this}, 1);
}

double GuestPlan::run(const std::vector<GuestPlan*>& plans, std::int64_t calls) {
  const GuestPlan& first = *plans.front();
  std::vector<int> ids;
  for (const GuestPlan* plan : plans) ids.push_back(plan->id_);
  const Answer answer = first.told([&] { return first.guest_->run(ids, calls); });
  if (!(answer.seconds > 0))
    throw DeviceError(fmt::format("{}: it says that {} calls took no time", first.name_, calls));
  for (GuestPlan* plan : plans)
    if (answer.writes_lse) plan->answer_.writes_lse = answer.writes_lse;
  return answer.seconds;
}

void GuestPlan::collect(const flashbench::Operands& io) {
  if (host_.on_gpu) told([&] { return guest_->collect(id_); });
  told([&] {
    collect_outputs(out_, out_place_, *io.out);
    return Answer{};
  });
  const bool given = problem_.pass == Pass::kBackward && !answer_.prepares;
  if (!answer_.writes_lse.value_or(false) && !given) io.out->lse = {};
}

void GuestPlan::poison_results() {
  const bool keeps_forward = problem_.pass == Pass::kBackward;
  poison(out_, keeps_forward ? &out_place_ : nullptr);
  Names results{{}, changing_.outputs};
  if (keeps_forward)
    std::erase_if(results.outputs, [](const std::string& n) { return n == "o" || n == "lse"; });
  give(results);
}

double GuestPlan::flop_executed() const {
  return answer_.flop_executed.value_or(
      count_work(problem_, count_visible(problem_, inputs_->key_mask)).flop_visible);
}

std::vector<PhaseProfile::Row> GuestPlan::profile(const flashbench::Operands&) {
  PhaseProfile::Row row;
  row.phase = "call";
  row.seconds = run({this}, 1);
  row.calls = 1;
  row.bytes = workspace_bytes();
  row.cost.flop = flop_executed();
  row.threads = {{row.seconds, 1, row.cost}};
  return {row};
}

}  // namespace flashbench::guest
