#include "oracle/verify.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/work.h"
#include "oracle/bias_gradient.h"
#include "oracle/compare.h"
#include "oracle/identities.h"
#include "oracle/reference.h"
#include "oracle/sample.h"
#include "oracle/sink_gradient.h"
#include "system/error.h"

namespace flashbench::oracle {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// Judgements of one set of outputs; verdict() keeps those of tensors that are there.
struct Checks {
  TensorCheck o, lse, dq, dk, dv, dsinks, dbias;
  TensorCheck value_range{"O within V", 1};
  TensorCheck value_sums{"sum dV = sum dO", 1}, value_products{"<O,dO> = <V,dV>", 1};
  TensorCheck score_products{"<Q,dQ> = <K,dK>", 1};

  explicit Checks(const Problem& p) : Checks(p.shape, p.bias_dims()) {}
  Checks(const Shape& s, const Dims& bias)
      : o("o", s.o_dims().count()),
        lse("lse", s.lse_dims().count()),
        dq("dq", s.q_dims().count()),
        dk("dk", s.k_dims().count()),
        dv("dv", s.v_dims().count()),
        dsinks("dsinks", s.sink_dims().count()),
        dbias("dbias", bias.count()) {}

  void merge(const Checks& other) {
    o.merge(other.o);
    lse.merge(other.lse);
    dq.merge(other.dq);
    dk.merge(other.dk);
    dv.merge(other.dv);
    dsinks.merge(other.dsinks);
    dbias.merge(other.dbias);
    value_range.merge(other.value_range);
    value_sums.merge(other.value_sums);
    value_products.merge(other.value_products);
    score_products.merge(other.score_products);
  }
  Verdict verdict(const Outputs& out, VerifyLevel level) const {
    Verdict v;
    v.level = level;
    if (!out.o.empty()) v.tensors.push_back(o.verdict());
    if (!out.lse.empty()) v.tensors.push_back(lse.verdict());
    if (!out.dq.empty()) v.tensors.push_back(dq.verdict());
    if (!out.dk.empty()) v.tensors.push_back(dk.verdict());
    if (!out.dv.empty()) v.tensors.push_back(dv.verdict());
    if (!out.dsinks.empty()) v.tensors.push_back(dsinks.verdict());
    if (!out.dbias.empty()) v.tensors.push_back(dbias.verdict());
    if (level != VerifyLevel::kSample) return v;
    if (!out.o.empty()) v.tensors.push_back(value_range.verdict());
    if (!out.dv.empty()) {
      v.tensors.push_back(value_sums.verdict());
      v.tensors.push_back(value_products.verdict());
    }
    if (!out.dq.empty() && !out.dk.empty()) v.tensors.push_back(score_products.verdict());
    return v;
  }
};

void check_rows(const RowPart& part, const Outputs& out, Checks& checks) {
  const RowResults& want = part.results;
  for (std::size_t n = 0; n < part.rows.size(); ++n) {
    const std::int64_t i = part.rows[n];
    if (!out.o.empty()) checks.o.row(out.o, part.b, part.h, i, want.o, n);
    if (!out.lse.empty()) checks.lse.row(out.lse, part.b, part.h, i, want.lse, n);
    if (!out.dq.empty()) checks.dq.row(out.dq, part.b, part.h, i, want.dq, n);
  }
}

void check_columns(const ColumnPart& part, const Outputs& out, Checks& checks) {
  const ColumnResults& want = part.results;
  for (std::size_t n = 0; n < part.keys.size(); ++n) {
    const std::int64_t j = part.keys[n];
    if (!out.dk.empty()) checks.dk.row(out.dk, part.b, part.h_kv, j, want.dk, n);
    if (!out.dv.empty()) checks.dv.row(out.dv, part.b, part.h_kv, j, want.dv, n);
  }
}

void check_sinks(const Expected& want, const Outputs& out, Checks& checks) {
  for (std::int64_t h = 0; h < out.dsinks.dims().h; ++h)
    checks.dsinks.row(out.dsinks, 0, h, 0, want, static_cast<std::size_t>(h));
}

void check_dbias(const BiasPart& part, const Outputs& out, Checks& checks) {
  for (std::size_t n = 0; n < part.rows.size() && !out.dbias.empty(); ++n)
    checks.dbias.row(out.dbias, part.b, part.h, part.rows[n], part.expected, n);
}

void row_of_zeros(const Tensor& t, std::int64_t b, std::int64_t h, std::int64_t r,
                  TensorCheck& check) {
  if (!t.empty()) check.zeros(t, b, h, r);
}

/// What an empty row must hold.
void check_empty_rows(const Definition& def, const Outputs& out, Checks& checks) {
  const Shape& s = def.shape();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t i = 0; i < s.q_len; ++i) {
      bool empty = def.empty_row(b, 0, i);
      for (std::int64_t h = 0; h < s.h; ++h) {
        if (h > 0 && def.has_bias()) empty = def.empty_row(b, h, i);  // a head's own
        if (!out.lse.empty()) {
          const double lse = static_cast<double>(out.lse.at(b, h, i, 0));
          const double of_empty = def.lse_of_empty_row(h);
          const double room = std::isinf(of_empty) ? 0 : 4 * kF32Roundoff * std::abs(of_empty);
          if (empty ? lse != of_empty : lse == -kInf)
            checks.lse.number(lse, empty ? of_empty : nan, room, {b, h, i, 0});
        }
        if (!empty) continue;
        row_of_zeros(out.o, b, h, i, checks.o);
        row_of_zeros(out.dq, b, h, i, checks.dq);
      }
    }
}

/// The gradient of a bias is 0 for pairs that are hidden wherever it is used.
void check_hidden_bias(const Definition& def, const Outputs& out, Checks& checks) {
  const Dims& dims = out.dbias.dims();
  const Shape& s = def.shape();
  const auto seen = [&](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
    for (std::int64_t bb = b; bb < s.b; bb += dims.b)
      for (std::int64_t hh = h; hh < s.h; hh += dims.h)
        if (def.visible(bb, hh, i, j)) return true;
    return false;
  };
  for (std::int64_t b = 0; b < dims.b; ++b)
    for (std::int64_t h = 0; h < dims.h; ++h)
      for (std::int64_t i = 0; i < dims.rows; ++i)
        for (std::int64_t j = 0; j < dims.d; ++j)
          if (const double x = static_cast<double>(out.dbias.at(b, h, i, j));
              x != 0 && !seen(b, h, i, j))
            checks.dbias.number(x, 0, 0, {b, h, i, j});
}

/// What an empty row, or a key or pair that nobody sees must hold, over all of the outputs.
void check_exact(const Definition& def, const Outputs& out, Checks& checks) {
  check_empty_rows(def, out, checks);
  const Shape& s = def.shape();
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t j = 0; j < s.kv_len; ++j) {
      if (def.counts(b, j)) continue;
      for (std::int64_t h = 0; h < s.h_kv; ++h) {
        row_of_zeros(out.dk, b, h, j, checks.dk);
        row_of_zeros(out.dv, b, h, j, checks.dv);
      }
    }
  if (!out.dbias.empty()) check_hidden_bias(def, out, checks);
}

void check_written(const Definition& def, const Outputs& out, Checks& checks) {
  checks.o.all_written(out.o);
  checks.lse.all_written(out.lse, /*may_be_minus_inf=*/!def.has_sinks());
  checks.dq.all_written(out.dq);
  checks.dk.all_written(out.dk);
  checks.dv.all_written(out.dv);
  checks.dsinks.all_written(out.dsinks);
  checks.dbias.all_written(out.dbias);
}

void reject_misfits(const Definition& def, const Outputs& out) {
  const Shape& s = def.shape();
  const struct {
    const char* name;
    const Tensor& tensor;
    Dims want;
    bool gradient;
  } tensors[] = {{"o", out.o, s.o_dims(), false},
                 {"lse", out.lse, s.lse_dims(), false},
                 {"dq", out.dq, s.q_dims(), true},
                 {"dk", out.dk, s.k_dims(), true},
                 {"dv", out.dv, s.v_dims(), true},
                 {"dsinks", out.dsinks, s.sink_dims(), true},
                 {"dbias", out.dbias, def.problem().bias_dims(), true}};
  bool any = false;
  for (const auto& t : tensors) {
    if (t.tensor.empty()) continue;
    any = true;
    const Dims& got = t.tensor.dims();
    if (!(got == t.want))
      throw UsageError(
          fmt::format("'{}' is [{}, {}, {}, {}] but the problem makes it [{}, {}, {}, {}]", t.name,
                      got.b, got.h, got.rows, got.d, t.want.b, t.want.h, t.want.rows, t.want.d));
    if (t.gradient && !def.has_gradients())
      throw UsageError(
          fmt::format("'{}' is a gradient but there is no 'do' to judge it with; "
                      "use --pass backward or give 'do'",
                      t.name));
  }
  if (!out.dsinks.empty() && !def.has_sinks())
    throw UsageError("'dsinks' is there, but the problem has no sinks; use --sinks");
  if (!out.dbias.empty() && !def.wants_bias_gradient())
    throw UsageError(
        "'dbias' is there, but its gradient is not asked for; use --bias and --bias_grad");
  if (!any)
    throw UsageError("nothing to verify: none of o, lse, dq, dk, dv, dsinks, dbias is there");
}

}  // namespace

struct Reference::State {
  Problem problem;
  const Inputs* inputs;
  VerifyLevel level;
  Definition def;
  std::vector<RowPart> rows;
  std::vector<ColumnPart> columns;  // level full
  Expected dsinks;                  // level full
  std::vector<BiasPart> dbias;
  std::vector<HeadSample> keys;  // level sample
  std::vector<HeadDirections> heads;

  State(const Problem& p, const Inputs& in, VerifyLevel l)
      : problem(p), inputs(&in), level(l), def(problem, in) {
    if (level == VerifyLevel::kFull) {
      rows = all_rows(def);
      columns = all_columns(def, rows);
      dsinks = expect_sink_gradients(def, rows);
    } else if (level == VerifyLevel::kSample) {
      const std::int64_t block = row_block(p.shape);
      for (const HeadSample& head : sample_rows(p)) add_sampled_rows(head, block);
      heads = head_directions(def);
      compute(def, heads, rows);
      keys = sample_keys(p, in);
    }
    dbias = expect_bias_gradient(def, rows);
    for (RowPart& part : rows) part.results.ds = {};  // a matrix of scores
  }

  void add_sampled_rows(const HeadSample& head, std::int64_t block) {
    for (std::size_t n = 0; n < head.rows.size(); ++n) {
      if (n % static_cast<std::size_t>(block) == 0) rows.push_back({head.b, head.h, {}, {}});
      rows.back().rows.push_back(head.rows[n]);
    }
  }

  Checks full(const Outputs& out) const;
  Checks sample(const Outputs& out) const;
  /// What the group's rows pass on to gradients.
  std::vector<RowStats> sample_group(const HeadSample& head, const Outputs& out,
                                     Checks& checks) const;
};

Checks Reference::State::full(const Outputs& out) const {
  Checks total(problem);
  const auto row_parts = static_cast<std::int64_t>(rows.size());
  const auto parts = row_parts + static_cast<std::int64_t>(columns.size());
  std::vector<Checks> each(static_cast<std::size_t>(parts), total);
#pragma omp parallel for schedule(dynamic) if (worth_threads(def.shape()))
  for (std::int64_t n = 0; n < parts; ++n) {
    Checks& checks = each[static_cast<std::size_t>(n)];
    if (n < row_parts)
      check_rows(rows[static_cast<std::size_t>(n)], out, checks);
    else
      check_columns(columns[static_cast<std::size_t>(n - row_parts)], out, checks);
  }
  for (const Checks& checks : each) total.merge(checks);
  check_sinks(dsinks, out, total);
  for (const BiasPart& part : dbias) check_dbias(part, out, total);
  return total;
}

Checks Reference::State::sample(const Outputs& out) const {
  Checks total(problem);
  for (const RowPart& part : rows) check_rows(part, out, total);
  for (const BiasPart& part : dbias) check_dbias(part, out, total);
  check_exact(def, out, total);
  check_written(def, out, total);
  const auto groups = static_cast<std::int64_t>(keys.size());
  std::vector<Checks> each(keys.size(), Checks(problem));
  std::vector<std::vector<RowStats>> of_group(keys.size());
#pragma omp parallel for schedule(dynamic) if (worth_threads(def.shape()))
  for (std::int64_t n = 0; n < groups; ++n)
    of_group[static_cast<std::size_t>(n)] =
        sample_group(keys[static_cast<std::size_t>(n)], out, each[static_cast<std::size_t>(n)]);
  for (const Checks& checks : each) total.merge(checks);
  if (out.dsinks.empty()) return total;
  std::vector<RowStats> stats;
  for (const std::vector<RowStats>& group : of_group)
    stats.insert(stats.end(), group.begin(), group.end());
  check_sinks(expect_sink_gradients(def, stats), out, total);
  return total;
}

std::vector<RowStats> Reference::State::sample_group(const HeadSample& head, const Outputs& out,
                                                     Checks& checks) const {
  if (!out.o.empty()) check_value_range(def, out.o, head.b, head.h, checks.value_range);
  if (out.dk.empty() && out.dv.empty() && out.dsinks.empty()) return {};
  SampledGroup group{head.b, head.h, {}};
  for (const RowPart& part : rows)
    if (part.b == head.b && def.shape().kv_head(part.h) == head.h) group.rows.push_back(&part);
  std::vector<RowStats> stats = estimate_stats(def, out, group);
  const ColumnPart part{
      head.b, head.h, head.rows,
      compute_columns(def, heads[static_cast<std::size_t>(head.b * def.shape().h_kv + head.h)],
                      head.b, head.h, head.rows, stats)};
  check_columns(part, out, checks);
  if (!out.dv.empty()) {
    check_value_sums(def, out.dv, group, stats, part, checks.value_sums);
    check_value_products(def, out, group, part, checks.value_products);
  }
  if (!out.dq.empty() && !out.dk.empty())
    check_score_products(def, out, group, part, checks.score_products);
  return stats;
}

Reference::Reference(const Problem& p, const Inputs& in, VerifyLevel level)
    : state_(std::make_unique<State>(p, in, level)) {}
Reference::Reference(Reference&&) noexcept = default;
Reference& Reference::operator=(Reference&&) noexcept = default;
Reference::~Reference() = default;

VerifyLevel Reference::level() const { return state_->level; }

Verdict Reference::verify(const Outputs& out) const {
  const State& s = *state_;
  if (s.level == VerifyLevel::kNone) return {};
  reject_misfits(s.def, out);
  if (s.level == VerifyLevel::kFull) return s.full(out).verdict(out, VerifyLevel::kFull);
  const bool columns = !out.dk.empty() || !out.dv.empty() || !out.dsinks.empty();
  if (columns && (out.o.empty() || out.lse.empty()))
    return Reference(s.problem, *s.inputs, VerifyLevel::kFull).verify(out);
  return s.sample(out).verdict(out, VerifyLevel::kSample);
}

Verdict verify(const Problem& p, const Inputs& in, const Outputs& out, VerifyLevel level) {
  return Reference(p, in, level).verify(out);
}

}  // namespace flashbench::oracle
