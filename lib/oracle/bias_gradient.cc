#include "oracle/bias_gradient.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "oracle/equal.h"
#include "system/interrupt.h"

namespace flashbench::oracle {
namespace {

/// A row of one of the heads that share a bias.
struct Member {
  const ScoreGradients* ds;
  std::size_t n;
};

/// Their sum. Rows of equal Q and dO are off alike, so that their errors add up.
void add_up(std::vector<Member> members, std::int64_t keys, Dtype dtype, std::size_t n,
            Expected& into) {
  const auto alike = [](const Member& m) { return m.ds->alike[m.n]; };
  std::sort(members.begin(), members.end(),
            [&](const Member& x, const Member& y) { return alike(x) < alike(y); });
  const auto count = static_cast<std::int64_t>(members.size());
  const Rounding rounding(dtype);
  double all = 0, common = 0, independent = static_cast<double>(keys);
  for (std::int64_t j = 0; j < keys; ++j) {
    double value = 0, reach = 0, squares = 0, noise = 0, together = 0;
    for (std::size_t m = 0; m < members.size(); ++m) {
      const auto at = members[m].n * static_cast<std::size_t>(keys) + static_cast<std::size_t>(j);
      const double term = members[m].ds->value[at];
      value += term;
      squares += square(term);
      reach = std::max(reach, square(value));
      together += std::sqrt(members[m].ds->noise[at]);
      if (m + 1 < members.size() && alike(members[m]) == alike(members[m + 1])) continue;
      noise += square(together);
      together = 0;
    }
    if (count > 1) noise += sum_noise(count, reach, squares);
    into.value.data()[n * static_cast<std::size_t>(keys) + static_cast<std::size_t>(j)] = value;
    into.noise[n * static_cast<std::size_t>(keys) + static_cast<std::size_t>(j)] = {
        rounding.stored(value), noise};
    all += noise;
  }
  std::uint64_t rows = 0;
  for (const Member& m : members) {
    common = std::max(common, m.ds->common[m.n]);
    if (m.ds->common[m.n] > 0 || m.ds->independent[m.n] > 0)
      independent = std::min(independent, m.ds->independent[m.n]);
    rows = combined(rows, alike(m));
  }
  into.excess.data()[n] = mixed_excess(all == 0 ? 1 : common, independent);
  into.alike[n] = rows;
}

}  // namespace

std::vector<BiasPart> expect_bias_gradient(const Definition& def,
                                           const std::vector<RowPart>& parts) {
  if (!def.wants_bias_gradient()) return {};
  const Tensor& bias = def.inputs().bias;
  const Dims& dims = bias.dims();
  const Shape& s = def.shape();
  std::map<std::pair<std::int64_t, std::int64_t>, std::map<std::int64_t, std::vector<Member>>> of;
  for (const RowPart& part : parts) {
    const BiasSlice slice = BiasSlice::of(dims, part.b, part.h);
    for (std::size_t n = 0; n < part.rows.size(); ++n)
      of[{slice.b, slice.h}][part.rows[n]].push_back({&part.results.ds, n});
  }
  const std::int64_t heads = s.b / dims.b * (s.h / dims.h);
  std::vector<BiasPart> sums;
  for (auto& [slice, rows] : of) {
    BiasPart part{slice.first, slice.second, {}, {}};
    for (const auto& [i, members] : rows)
      if (static_cast<std::int64_t>(members.size()) == heads) part.rows.push_back(i);
    part.expected = Expected(static_cast<std::int64_t>(part.rows.size()), s.kv_len);
    part.expected.alike.resize(part.rows.size());
#pragma omp parallel for schedule(dynamic) if (worth_threads(s))
    for (std::size_t n = 0; n < part.rows.size(); ++n)
      if (!interrupted()) add_up(rows.at(part.rows[n]), s.kv_len, bias.dtype(), n, part.expected);
    stop_if_interrupted();
    sums.push_back(std::move(part));
  }
  return sums;
}

}  // namespace flashbench::oracle
