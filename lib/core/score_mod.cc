#include "core/score_mod.h"

#include "core/problem.h"

namespace flashbench {

ScoreMod score_mod_of(const Problem& p, double alibi_slope) {
  return {p.softcap, p.alibi == Alibi::kNone ? 0 : alibi_slope,
          static_cast<std::int32_t>(p.shape.kv_len - p.shape.q_len)};
}

}  // namespace flashbench
