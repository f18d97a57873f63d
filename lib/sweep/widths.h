#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "sweep/parse.h"

/// How rows print and record the two head dimensions of a case: d of Q and K, and d_v of V and O,
/// which is the same unless it was given; and the factor of the scores, which follows from d.
namespace flashbench::sweep {

inline bool has_one_width(const Case& c) { return c.problem.shape.d_v() == c.problem.shape.d; }
inline std::string value_width_text(const Case& c) {
  return fmt::format("{}", c.problem.shape.d_v());
}

/// Reports of before the field was there lack it.
constexpr Recorded recorded_value_width() {
  Recorded r =
      recorded<&Workload::own_d_v>([](const Case& c) { return Value(c.problem.shape.d_v()); });
  r.get = [](const CaseRecord& record) { return Value(record.workload.d_v()); };
  return r;
}

/// "d128", or "d192/128".
inline std::string width_cell(const CaseRecord& r) {
  const Workload& w = r.workload;
  return w.d == w.d_v() ? fmt::format("d{}", w.d) : fmt::format("d{}/{}", w.d, w.d_v());
}

inline bool has_usual_scale(const Workload& w) {
  const double usual = 1 / std::sqrt(static_cast<double>(w.d));
  return std::abs(w.scale - usual) <= 1e-6 * usual;
}

}  // namespace flashbench::sweep
