#include "oracle/lse_error.h"

#include <algorithm>
#include <cmath>

#include "oracle/noise.h"

namespace flashbench::oracle {

LseError::LseError(const Definition& def, const Outputs& out, const SampledGroup& group,
                   std::int64_t h) {
  double products = 0, squares = 0, noise = 0, of_products = 0;
  for (const RowPart* part : group.rows)
    for (std::size_t n = 0; part->h == h && n < part->rows.size(); ++n) {
      const RowStats& row = part->results.stats[n];
      if (row.empty) continue;
      const double want = part->results.lse.value[n];
      const double got = static_cast<double>(out.lse.at(group.b, h, part->rows[n], 0));
      products += (want - got) * want;
      squares += square(want);
      noise += row.lse_noise;
      of_products += row.lse_noise * square(want);
    }
  if (squares == 0) return;
  constexpr double kCertain = 2, kMost = 2;  // deviations: of the mean; of one row
  const double share = products / squares, chance = std::sqrt(of_products) / squares;
  const double cut = Rounding(def.problem().dtype).of_16_bits() ? truncated_sum(def.shape().d) : 0;
  const double most = kMost * std::max(cut, std::sqrt(noise / squares));
  if (std::abs(share) > kCertain * chance && std::abs(share) <= most) shortfall_ = share;
}

}  // namespace flashbench::oracle
