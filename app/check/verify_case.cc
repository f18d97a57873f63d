#include "app/check/verify_case.h"

#include <fmt/format.h>

#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/case/execution_orders.h"
#include "app/case/prepared_case.h"
#include "app/case/results.h"
#include "app/check/repetition.h"
#include "system/error.h"
#include "system/interrupt.h"

namespace flashbench::app {
namespace {

void fail(report::Result& result, const std::string& why) {
  result.status = report::Status::kFailed;
  result.reason = fmt::format("{}; reproduce: {}", why, result.command);
}

/// Takes over what was repeated, which fails where bits differ that must not: without
/// --deterministic, threads may add gradients in any order, but an emulated device's kernels never.
void add_repeats(report::Result& result, const RoutedCase& c, const Repetition& repetition) {
  result.repeats = repetition.result();
  const bool all = c.route->execution.deterministic || c.traits().seeded_order;
  if (const auto why =
          difference(*result.repeats, all ? Promise::kAll : Promise::kWithoutGradients))
    fail(result, *why);
}

class CaseCheck {
 public:
  CaseCheck(const CheckRequest& request, const Inputs& in, const oracle::Reference& reference,
            report::Result& result)
      : request_(request), in_(in), reference_(reference), result_(result) {}

  void in_orders(RoutedCase c) {
    const std::string command = result_.command;
    const std::vector<std::uint64_t> seeds = seeds_of(c);
    std::optional<Outputs> first;
    std::optional<Repetition> repetition;
    for (const std::uint64_t seed : seeds) {
      c.route->execution.order_seed = seed;
      result_.command = command + " " + seeds_flag({seed});
      Outputs out = launch(c, 1);
      if (result_.status != report::Status::kOk || interrupted()) return;
      if (request_.repeat > 1) {
        if (repetition)
          repetition->add(out);
        else
          repetition.emplace(std::move(out));
      } else if (!first) {
        first = std::move(out);
      } else if (const auto why = broken_promise(c, *first, out)) {
        result_.command = command + " " + seeds_flag({seeds[0], seed});
        fail(result_, *why);
        return;
      }
    }
    result_.command = command + repeat_flag();
    if (repetition) add_repeats(result_, c, *repetition);
  }

  void launched(const RoutedCase& c) {
    result_.command += repeat_flag();
    launch(c, request_.repeat);
  }

 private:
  std::string repeat_flag() const {
    return request_.repeat > 1 ? fmt::format(" --repeat {}", request_.repeat) : "";
  }
  std::vector<std::uint64_t> seeds_of(const RoutedCase& c) const {
    if (request_.repeat == 1) return order_seeds(request_.emulated_seeds, c);
    std::vector<std::uint64_t> seeds(static_cast<std::size_t>(request_.repeat));
    std::iota(seeds.begin(), seeds.end(), 1);
    return seeds;
  }

  /// What the first launch wrote; nothing where it failed.
  Outputs launch(const RoutedCase& c, int launches) {
    try {
      PreparedCase prepared(c, in_);
      prepared.launch();
      result_.flop_executed = prepared.flop_executed();
      add_verdict(result_, reference_.verify(prepared.collect()), result_.command);
      if (launches > 1 && result_.status == report::Status::kOk) repeat(c, prepared, launches);
      if (request_.run.profile) add_phases(result_, prepared, request_.run.profile_sort);
      return prepared.take_outputs();
    } catch (const UsageError&) {
      throw;
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& e) {
      add_failure(result_, e);
    }
    return {};
  }

  void repeat(const RoutedCase& c, PreparedCase& prepared, int launches) {
    Repetition repetition(prepared.copy_outputs());
    for (int n = 1; n < launches && !interrupted(); ++n) {
      prepared.poison_results();
      prepared.launch();
      repetition.add(prepared.collect());
    }
    add_repeats(result_, c, repetition);
  }

  const CheckRequest& request_;
  const Inputs& in_;
  const oracle::Reference& reference_;
  report::Result& result_;
};

}  // namespace

void verify_case(const CheckRequest& request, const RoutedCase& c, const Inputs& in,
                 const oracle::Reference& reference, report::Result& result) {
  CaseCheck check(request, in, reference, result);
  if (c.traits().seeded_order)
    check.in_orders(c);
  else
    check.launched(c);
}

}  // namespace flashbench::app
