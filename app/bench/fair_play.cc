#include "app/bench/fair_play.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <set>

#include "core/work.h"
#include "measure/disturbance.h"
#include "measure/idle.h"
#include "measure/lost_time.h"
#include "report/units.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

/// Of the time that sampling takes, for changing inputs and preparing everybody for them.
constexpr double kShareForChanges = 0.1;

/// A call alone may take that much more than one among many: caches hold other things, threads
/// sleep.
constexpr double kAloneFactor = 2.5, kAloneSlack_s = 300e-6;
constexpr int kCallsAlone = 5, kMostAlone = 40;
constexpr double kMostAlone_s = 0.3;

/// The guest's clock runs inside of ours: it never shows more, and what it shows less is messages,
/// and what launches wait for where a GPU's clock counts.
constexpr double kClockFactor = 1.1, kMessage_s = 3e-4, kGpuMessage_s = 1e-3;
/// Of the samples: on a busy machine some messages take longer.
constexpr double kMostLate = 0.9;
/// What its clock says is believed for so long.
constexpr double kBelieved_s = 0.05;
constexpr int kFewest = 10;

/// Peaks are read at another moment than times.
constexpr double kAbovePeak = 1.05;
/// On a GPU the peak of f32 is that of multiply-adds; tensor cores add three TF32 products, which
/// can be as accurate, up to five times as fast.
constexpr double kTensorCores = 5;

std::string not_credible(const std::string& why) { return "its times are not credible: " + why; }

/// A program of its own may copy its results into the tensors that it shares once a request, behind
/// its clock: a library allocates them itself.
constexpr double kStoring_bytes_s = 1e9;
double storing_s(const RunningCase& r) {
  const sweep::Case& c = r.routed->request;
  if (c.type != AttentionType::kWorker) return 0;
  return static_cast<double>(operand_bytes(c.problem).outputs) / kStoring_bytes_s;
}

/// What its clock says against ours.
std::optional<std::string> wrong_clock(const RunningCase& r) {
  if (r.our_s < kBelieved_s) return std::nullopt;
  if (r.own_s > r.our_s)
    return not_credible(fmt::format("its clock shows {} while ours shows {}",
                                    report::human_seconds(r.own_s),
                                    report::human_seconds(r.our_s)));
  if (r.timed >= kFewest && static_cast<double>(r.late) > kMostLate * static_cast<double>(r.timed))
    return not_credible(fmt::format("its clock shows {} of the {} that passed here",
                                    report::human_seconds(r.own_s),
                                    report::human_seconds(r.our_s)));
  return std::nullopt;
}

std::optional<std::string> above_peak(const RunningCase& r, double median_s) {
  const double flop_s = r.result->flop_visible / median_s;
  const bool tensor_cores = r.traits().own_memory && r.routed->request.problem.dtype == Dtype::kF32;
  const double most = kAbovePeak * r.peak_flop_s * (tensor_cores ? kTensorCores : 1);
  if (r.peak_flop_s <= 0 || flop_s <= most) return std::nullopt;
  return not_credible(fmt::format("{} is beyond what this machine reaches, {}",
                                  report::human_flop_rate(flop_s),
                                  report::human_flop_rate(r.peak_flop_s)));
}

std::optional<std::string> slower_alone(double alone_s, double median_s) {
  if (alone_s <= kAloneFactor * median_s + kAloneSlack_s) return std::nullopt;
  return not_credible(
      fmt::format("a call with new inputs and outputs takes {}, one of many with the same {}",
                  report::human_seconds(alone_s), report::human_seconds(median_s)));
}

/// Others are verified by the inputs as they were.
class Restored {
 public:
  explicit Restored(ChangingInputs& inputs) : inputs_(inputs) {}
  Restored(const Restored&) = delete;
  ~Restored() { inputs_.restore(); }

 private:
  ChangingInputs& inputs_;
};

}  // namespace

WatchLost lost_share_in(const std::string& threads_folder) {
  if (threads_folder.empty()) return {};
  const auto reader = std::make_shared<measure::ThreadTimeReader>(threads_folder);
  return [reader](const std::function<double()>& work) {
    return measure::lost_share_of_others([&] { return reader->read(); }, work);
  };
}

bool FairPlay::applies() const {
  return std::any_of(group_.cases.begin(), group_.cases.end(),
                     [](const RoutedCase& c) { return c.runs() && c.traits().times_itself; });
}

bool FairPlay::change() {
  const double before_s = clock_.now_s();
  if (began_s_ == 0) began_s_ = before_s;
  changing_.change();
  for (RunningCase& r : running_) try {
      if (r.prepared) r.prepared->renew();
    } catch (const std::exception&) {  // which is its failure alone
      r.broken = std::current_exception();
    }
  spent_s_ += clock_.now_s() - before_s;
  return true;
}

bool FairPlay::change_now_and_then() {
  if (spent_s_ > kShareForChanges * (clock_.now_s() - began_s_)) return false;
  return changing_.toss() && change();
}

void FairPlay::settle(const RunningCase& next) {
  if (next.broken) std::rethrow_exception(next.broken);
  const std::string own = next.prepared->threads_folder();
  if (!own.empty()) measure::wait_until_idle("/proc/self/task");
  for (RunningCase& r : running_) {
    const std::string folder = r.prepared->threads_folder();
    if (folder.empty() || folder == own) continue;
    ++r.awaited;
    if (!measure::wait_until_idle(folder)) ++r.restless;
  }
}

double FairPlay::timed(RunningCase& r, std::int64_t launches) {
  const double before_s = clock_.now_s();
  const double own_s = r.backend().queued_s(r.execution(), [&] {
    for (std::int64_t i = 0; i < launches; ++i) r.prepared->launch();
  });
  const double our_s = clock_.now_s() - before_s;
  r.our_s += our_s;
  r.own_s += own_s;
  ++r.timed;
  const double message_s = r.traits().own_memory ? kGpuMessage_s : kMessage_s;
  if (our_s > kClockFactor * own_s + message_s + storing_s(r)) ++r.late;
  // Batches grow with what it says: a clock that stands would have them grow for ever.
  if (const auto why = wrong_clock(r))
    throw DeviceError(fmt::format("{}: {}", *r.result->kernel, *why));
  return own_s;
}

std::optional<std::string> FairPlay::launch_alone(RunningCase& r, std::optional<double> median_s) {
  changing_.restore();
  const Restored whatever_happens(changing_);
  if (!r.traits().times_itself) {
    r.prepared->renew();
    r.prepared->launch();
    r.prepared->wait();
    return std::nullopt;
  }
  const double alone_s = median_s ? shortest_alone_s(r) : 0;
  changing_.restore();
  r.prepared->renew();
  timed(r, 1);
  if (!median_s) return std::nullopt;
  if (auto why = above_peak(r, *median_s)) return why;
  return slower_alone(alone_s, *median_s);
}

double FairPlay::guests_cpu_s() const {
  double all_s = 0;
  std::set<std::string> counted;
  for (const RunningCase& r : running_)
    if (const std::string folder = r.prepared->threads_folder(); counted.insert(folder).second)
      all_s += measure::ran_s(folder);
  return all_s;
}

double FairPlay::shortest_alone_s(RunningCase& r) {
  const WatchLost lost_share = lost_share_in(r.prepared->threads_folder());
  // New inputs are in the time that it takes: of large tensors they are most of it.
  const double before_s = clock_.now_s();
  double shortest_s = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kMostAlone && (i < kCallsAlone || shortest_s > kAloneSlack_s); ++i) {
    changing_.change();
    r.prepared->renew();
    settle(r);
    double took_s = 0, lost = 0;
    const auto call = [&] { return took_s = timed(r, 1); };
    if (lost_share)
      lost = lost_share(call).value_or(0);
    else
      call();
    if (!measure::is_disturbed(lost)) shortest_s = std::min(shortest_s, took_s);
    if (clock_.now_s() - before_s > kMostAlone_s && i + 1 >= kCallsAlone) break;
  }
  return std::isfinite(shortest_s) ? shortest_s : 0;  // disturbed all the time: nothing is known
}

std::optional<std::string> FairPlay::warning(const RunningCase& r) const {
  if (r.awaited == 0 || 2 * r.restless < r.awaited) return std::nullopt;
  return fmt::format(
      "{}: its threads run on between its calls, and take processors from the others; let them "
      "sleep (OMP_WAIT_POLICY=passive)",
      *r.result->kernel);
}

}  // namespace flashbench::app
