#include "app/check/check_external.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/case/routing.h"
#include "core/features.h"
#include "data/input_files.h"
#include "data/other_layout.h"
#include "data/outputs.h"
#include "report/grid.h"
#include "sweep/number.h"
#include "sweep/parse.h"
#include "sweep/shown.h"
#include "system/digits.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

bool holds_gradients(const Outputs& out) {
  for (const Tensor* gradient : {&out.dq, &out.dk, &out.dv, &out.dsinks, &out.dbias})
    if (!gradient->empty()) return true;
  return false;
}

/// With all gradients where no flag says which pass it was, and there can be any.
Problem widest_problem(sweep::Group& group, const std::vector<std::string>& given, bool pass_given,
                       const Backends& backends) {
  Pass& pass = group.cases[0].problem.pass;
  if (!pass_given) pass = Pass::kForward;
  const Problem p = route_group(group, given, backends).problem;
  if (pass_given || !can_have_gradients(p)) return p;
  pass = Pass::kBoth;
  return route_group(group, given, backends).problem;
}

/// Throws where a file of gradients, or --bias_grad, asks for a backward pass that there cannot be.
void refuse_impossible_gradients(const CheckRequest& request, Problem p, const Outputs& out) {
  p.pass = Pass::kBoth;
  const auto bad = invalid(p);
  if (bad && holds_gradients(out))
    throw UsageError(fmt::format("{}: it holds gradients; {}", request.external, bad->reason));
  if (bad && p.bias_grad) throw UsageError(bad->reason);
}

/// The problem that an external file answers: with the gradients that it holds.
Problem external_problem(const CheckRequest& request, const Backends& backends,
                         const sweep::Case& c, Outputs& out) {
  sweep::Group group{{c}};
  const auto& given = request.run.given;
  const bool pass_given = std::find(given.begin(), given.end(), "pass") != given.end();
  Problem p = widest_problem(group, given, pass_given, backends);
  out = data::read_outputs(request.external, p);
  const bool gradients = holds_gradients(out);
  if (pass_given && p.needs_gradients() && !gradients)
    throw UsageError(
        fmt::format("{}: --pass {} asks for gradients, but it holds none of dq, dk, "
                    "dv, dsinks and dbias",
                    request.external, name(p.pass)));
  if (p.needs_bias_gradient() && out.dbias.empty())
    throw UsageError(
        fmt::format("{}: --bias_grad asks for dbias, which it does not hold", request.external));
  if (gradients && p.needs_gradients()) {
    p.bias_grad = !out.dbias.empty();
    return p;
  }
  if (!pass_given) refuse_impossible_gradients(request, p, out);
  for (Tensor* gradient : {&out.dq, &out.dk, &out.dv, &out.dsinks, &out.dbias})
    *gradient = Tensor();
  group.cases[0].problem.pass = Pass::kForward;
  return route_group(group, given, backends).problem;
}

ExtraRoundings roundings(const sweep::Setting& setting) {
  sweep::Choices<ExtraRounding> known;
  for (const ExtraRounding r : kExtraRoundings) known.emplace_back(name(r), r);
  ExtraRoundings rounds;
  for (const std::string& word : sweep::split_list(setting.values[0], setting.where))
    rounds.add(sweep::choose(word, setting.where, known));
  return rounds;
}

/// Whether the rows `row` of both are equal in every head, but for a rounding to 16 bits.
bool equal_rows(const Tensor& o, const Inputs& in, std::int64_t row_of_v) {
  const Dims dims = o.dims();
  const std::int64_t group = dims.h / in.v.dims().h;
  for (std::int64_t b = 0; b < dims.b; ++b)
    for (std::int64_t h = 0; h < dims.h; ++h)
      for (std::int64_t i = 0; i < dims.d; ++i) {
        const float expected = in.v.at(b, h / group, row_of_v, i) * in.v_descale(b, h / group);
        if (!(std::abs(o.at(b, h, 0, i) - expected) <= std::abs(expected) / 128)) return false;
      }
  return true;
}

/// Whether the first query seems to have seen the first key alone, as nothing asks for.
bool looks_causal(const External& external, const Inputs& in) {
  const Problem& p = external.judged.problem;
  const Tensor& o = external.out.o;
  if (p.causal || p.ragged != Ragged::kNone || p.shape.q_len != p.shape.kv_len ||
      p.shape.kv_len < 2 || o.empty())
    return false;
  const std::int64_t last = p.shape.kv_len - 1;  // equal rows of V would look alike
  return equal_rows(o, in, 0) && !equal_rows(o, in, last);
}

}  // namespace

External read_external(const CheckRequest& request, const Backends& backends) {
  if (request.run.groups.size() != 1 || request.run.groups[0].cases.size() != 1)
    throw UsageError("--external judges one case; give every flag one value");
  External external;
  if (request.rounds) external.rounds = roundings(*request.rounds);
  external.judged = request.run.groups[0].cases[0];
  Problem& p = external.judged.problem;
  p = external_problem(request, backends, external.judged, external.out);
  data::OpenFiles open;
  external.warnings = data::input_warnings(p, open);
  for (std::string& line : data::unused_tensors(request.external, p.files))
    external.warnings.push_back(std::move(line));
  const auto& given = request.run.given;
  external.ones_for_lack_of_d_o = p.needs_gradients() && p.d_o == GradSource::kOnes &&
                                  std::find(given.begin(), given.end(), "do") == given.end();
  return external;
}

std::string judged_as(const External& external, const Inputs& in, bool right) {
  const sweep::CaseRecord record = sweep::record_of(external.judged);
  const sweep::Workload& w = record.workload;
  std::string text =
      fmt::format("judged as: {}, {}, {}, {}, scale {}", record.pass, w.dtype,
                  report::workload_text(w), report::mask_phrase(w), digits(w.scale, 4));
  if (external.ones_for_lack_of_d_o) text += ", dO ones (no file has another)";
  if (!right && looks_causal(external, in))
    text +=
        "\ndo the results come from a causal mask? the first row of O is that of V; try --causal";
  else if (!right)
    text +=
        "\nwas it computed with another mask, scale or dO? --causal, --window_left, --scale, --do, "
        "... say so";
  return text + "\n";
}

}  // namespace flashbench::app
