#include "oracle/checks.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "system/error.h"

namespace flashbench::oracle {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

void row_of_zeros(const Tensor& t, std::int64_t b, std::int64_t h, std::int64_t r,
                  TensorCheck& check) {
  if (!t.empty()) check.zeros(t, b, h, r);
}

}  // namespace

Checks::Checks(const Problem& p)
    : o("o", p.shape.o_dims().count()),
      lse("lse", p.shape.lse_dims().count()),
      dq("dq", p.shape.q_dims().count()),
      dk("dk", p.shape.k_dims().count()),
      dv("dv", p.shape.v_dims().count()),
      dsinks("dsinks", p.shape.sink_dims().count()),
      dbias("dbias", p.bias_dims().count()) {}

void Checks::merge(const Checks& other, std::int64_t first_b) {
  o.merge(other.o, first_b);
  lse.merge(other.lse, first_b);
  dq.merge(other.dq, first_b);
  dk.merge(other.dk, first_b);
  dv.merge(other.dv, first_b);
  dsinks.merge(other.dsinks, first_b);
  dbias.merge(other.dbias, first_b);
  value_range.merge(other.value_range, first_b);
  value_sums.merge(other.value_sums, first_b);
  value_products.merge(other.value_products, first_b);
  score_products.merge(other.score_products, first_b);
}

Verdict Checks::verdict(const Outputs& out, VerifyLevel level) const {
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
    if (want.d == 0)  // no sequence has both queries and keys
      row_of_zeros(out.dsinks, 0, h, 0, checks.dsinks);
    else
      checks.dsinks.row(out.dsinks, 0, h, 0, want, static_cast<std::size_t>(h));
}

void check_dbias(const BiasPart& part, const Outputs& out, Checks& checks) {
  for (std::size_t n = 0; n < part.rows.size() && !out.dbias.empty(); ++n)
    checks.dbias.row(out.dbias, part.b, part.h, part.rows[n], part.expected, n);
}

namespace {

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

}  // namespace

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

void check_written(const Inputs& in, const Outputs& out, Checks& checks) {
  checks.o.all_written(out.o);
  checks.lse.all_written(out.lse, /*may_be_minus_inf=*/in.sinks.empty());
  checks.dq.all_written(out.dq);
  checks.dk.all_written(out.dk);
  checks.dv.all_written(out.dv);
  checks.dsinks.all_written(out.dsinks);
  checks.dbias.all_written(out.dbias);
}

void check_empty_sequence(const Inputs& in, const Outputs& out, Checks& checks) {
  const auto all_zeros = [](const Tensor& t, TensorCheck& check) {
    for (std::int64_t h = 0; h < t.dims().h; ++h)
      for (std::int64_t r = 0; r < t.dims().rows; ++r) row_of_zeros(t, 0, h, r, check);
  };
  all_zeros(out.o, checks.o);
  all_zeros(out.dq, checks.dq);
  all_zeros(out.dk, checks.dk);
  all_zeros(out.dv, checks.dv);
  const Dims& dims = out.lse.dims();
  for (std::int64_t h = 0; h < dims.h && !out.lse.empty(); ++h) {
    const double want =
        in.sinks.empty() ? -kInf : static_cast<double>(in.sinks[static_cast<std::size_t>(h)]);
    for (std::int64_t i = 0; i < dims.rows; ++i)
      if (const double lse = static_cast<double>(out.lse.at(0, h, i, 0)); lse != want)
        checks.lse.number(lse, want, std::isinf(want) ? 0 : 4 * kF32Roundoff * std::abs(want),
                          {0, h, i, 0});
  }
}

void reject_misfits(const Problem& p, const Inputs& in, const Outputs& out) {
  const Definition def(p, in);
  const Shape& s = p.shape;
  const struct {
    const char* name;
    const Tensor& tensor;
    Dims want;
    bool gradient;
  } tensors[] = {
      {"o", out.o, s.o_dims(), false},          {"lse", out.lse, s.lse_dims(), false},
      {"dq", out.dq, s.q_dims(), true},         {"dk", out.dk, s.k_dims(), true},
      {"dv", out.dv, s.v_dims(), true},         {"dsinks", out.dsinks, s.sink_dims(), true},
      {"dbias", out.dbias, p.bias_dims(), true}};
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

}  // namespace flashbench::oracle
