#include "kernel/kernel.h"

namespace flashbench {

std::optional<Rejection> Kernel::refuses(const Problem& p, const Execution& e) const {
  if (auto bad = invalid(p)) return bad;
  if (auto lacking = unsupported(info().name, supports(), demand_of(p))) return lacking;
  return rejects(p, e);
}

}  // namespace flashbench
