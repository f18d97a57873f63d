#include "app/check/check_chain.h"

#include <fmt/format.h>

#include <chrono>

#include "app/case/results.h"
#include "app/case/routing.h"
#include "oracle/chain.h"
#include "report/verdict_line.h"

namespace flashbench::app {
namespace {

report::Result result_of_link(const ChainCase& c, const oracle::ChainLink& link) {
  RoutedCase routed;
  routed.request.problem = c.problem;
  const bool normal = link.name.find("normal") != std::string::npos;
  routed.request.type = normal ? AttentionType::kNormal : AttentionType::kPaper;
  report::Result r = result_of("check", routed);
  r.kernel = "oracle, fp64: " + link.name;
  r.threads.reset();
  r.command = fmt::format("flashbench check {}", sweep::flags(c.problem));
  if (!link.ran()) {
    r.status = report::Status::kSkipped;
    r.refusal = Rejection::Kind::kUnsupported;
    r.reason = fmt::format("{}: {}", link.name, link.skipped);
    return r;
  }
  r.status = link.ok() ? report::Status::kOk : report::Status::kFailed;
  r.check = report::check_of({VerifyLevel::kFull, link.tensors});
  if (link.ok()) return r;
  for (std::size_t i = 0; i < link.tensors.size(); ++i)
    if (!link.tensors[i].ok)
      r.reason = fmt::format("{} ({}): {}", link.name, link.on,
                             report::verdict_line(r.check.worst[i], "fp64"));
  return r;
}

Problem chain_problem(Shape shape, bool causal, PaddingMask padding) {
  Problem p;
  p.shape = shape;
  p.pass = Pass::kBackward;
  p.causal = causal;
  p.padding = padding;
  p.d_o = GradSource::kRandom;
  return p;
}

}  // namespace

std::vector<ChainCase> chain_suite() {
  constexpr Shape kPlain{1, 2, 2, 40, 56, 16};
  constexpr Shape kGrouped{2, 4, 2, 24, 36, 8};
  constexpr Shape kFewKeys{1, 1, 1, 40, 25, 16};  // causal: 15 rows see nothing
  constexpr auto kNone = PaddingMask::kNone;
  constexpr auto kRandom = PaddingMask::kRandom;
  Problem window = chain_problem(kPlain, false, kRandom);
  window.window_left = 9, window.window_right = 4;
  Problem softcap = chain_problem(kGrouped, true, kNone);
  softcap.softcap = 0.7;
  Problem sinks = chain_problem(kGrouped, true, kRandom);
  sinks.sinks = Sinks::kRandom;
  Problem value_dim = chain_problem(kGrouped, true, kRandom);
  value_dim.shape.own_d_v = 13;
  Problem narrow_values = chain_problem(kPlain, false, kNone);
  narrow_values.shape.own_d_v = 5, narrow_values.sinks = Sinks::kRandom;
  Problem alibi = chain_problem(kGrouped, true, kRandom);
  alibi.alibi = Alibi::kStandard, alibi.softcap = 2;
  Problem bias = chain_problem(kGrouped, true, kRandom);
  bias.bias = Bias::kRandom, bias.bias_grad = true;
  Problem bias_of_all = chain_problem(kGrouped, false, kNone);  // one for all heads: dbias is a sum
  bias_of_all.bias = Bias::kRandom, bias_of_all.bias_shape = BiasShape::kShared;
  bias_of_all.bias_grad = true, bias_of_all.softcap = 2, bias_of_all.sinks = Sinks::kRandom;
  Problem sinks_alone = chain_problem(kFewKeys, true, kNone);
  sinks_alone.sinks = Sinks::kRandom, sinks_alone.window_left = 5, sinks_alone.softcap = 1.5;
  return {{"gradient_chain/full", chain_problem(kPlain, false, kNone)},
          {"gradient_chain/causal", chain_problem(kPlain, true, kNone)},
          {"gradient_chain/padded", chain_problem(kPlain, false, kRandom)},
          {"gradient_chain/causal_padded", chain_problem(kPlain, true, kRandom)},
          {"gradient_chain/window_padded", window},
          {"gradient_chain/softcap", softcap},
          {"gradient_chain/value_dim", value_dim},
          {"gradient_chain/narrow_values_sinks", narrow_values},
          {"gradient_chain/alibi_softcap", alibi},
          {"gradient_chain/bias", bias},
          {"gradient_chain/bias_softcap_sinks", bias_of_all},
          {"gradient_chain/sinks", sinks},
          {"gradient_chain/sinks_alone_window_softcap", sinks_alone},
          {"gradient_chain/grouped_heads", chain_problem(kGrouped, true, kRandom)},
          {"gradient_chain/rows_that_see_nothing", chain_problem(kFewKeys, true, kNone)}};
}

std::vector<Checked> check_chain(const ChainCase& c, const Inputs& in) {
  using Clock = std::chrono::steady_clock;
  const auto before = Clock::now();
  const std::vector<oracle::ChainLink> links = oracle::check_gradient_chain(c.problem, in);
  const std::chrono::duration<double> took = Clock::now() - before;
  std::vector<Checked> checked;
  for (const oracle::ChainLink& link : links) {
    Checked one;
    one.row = link.name;
    one.name = fmt::format("{}/{} ({})", c.name, link.name, link.on);
    one.result = result_of_link(c, link);
    one.seconds = took.count() / static_cast<double>(links.size());
    one.rounding = "fp64";
    checked.push_back(std::move(one));
  }
  return checked;
}

}  // namespace flashbench::app
