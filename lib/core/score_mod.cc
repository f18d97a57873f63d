#include "core/score_mod.h"

#include "core/problem.h"

namespace flashbench {

ScoreMod score_mod_of(const Problem& p) { return {p.softcap}; }

}  // namespace flashbench
