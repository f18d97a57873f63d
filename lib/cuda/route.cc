#include "cuda/route.h"

#include <fmt/format.h>

#include <utility>

#include "cuda/decode_sm80/decode_sm80.h"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80.h"
#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/normal/normal_cublas.h"
#include "cuda/simt_f32/simt_f32.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a.h"
#include "kernel/routes.h"

namespace flashbench::cuda {
namespace {

constexpr const KernelFamily* kFamilies[] = {&decode_sm80::kFamily, &wgmma_sm90a::kFamily,
                                             &mma_sm80::kFamily,    &mma_bf16x6_sm80::kFamily,
                                             &simt_f32::kFamily,    &normal_cublas::kFamily};

}  // namespace

std::string capability_text(int capability) {
  return fmt::format("{}.{}", capability / 10, capability % 10);
}

std::span<const KernelFamily* const> families() { return kFamilies; }

const KernelFamily* choose(AttentionType type, const RouteQuery& q,
                           std::span<const KernelFamily* const> among) {
  return first_choice(
      among,
      [&](const KernelFamily& f) { return f.type == type && refusal(f, q) == Refusal::kNone; },
      [&](const KernelFamily& f) { return yields(f, q); });
}

std::optional<Rejection> rejection(const KernelFamily& f, const RouteQuery& q) {
  const auto because = [](std::string reason) {
    return Rejection{Rejection::Kind::kUnsupported, std::move(reason)};
  };
  switch (refusal(f, q)) {
    case Refusal::kNone:
      return std::nullopt;
    case Refusal::kSupports:
      return unsupported(f.name, f.supports, q.demand);
    case Refusal::kRows:
      return because(fmt::format(
          "{} takes up to {} query rows a K/V head (heads of a group times queries), not {}",
          f.name, f.max_rows, q.rows.rows()));
    case Refusal::kCapability:
      return because(fmt::format("{} needs compute capability {}, this device has {}", f.name,
                                 capability_text(f.min_capability), capability_text(q.capability)));
    case Refusal::kCapabilityTooNew:
      return because(
          fmt::format("{} is machine code for compute capability {} only, this device has {}",
                      f.name, capability_text(f.max_capability), capability_text(q.capability)));
    case Refusal::kShared:
      return because(fmt::format(
          "{} needs {} bytes of shared memory a block at d = {}, this device has {}", f.name,
          f.shared_bytes(q.pass, widest_d(q.demand)), widest_d(q.demand), q.shared_bytes));
    case Refusal::kOrder:
      return because(
          fmt::format("{} adds gradients in no fixed order; leave --deterministic away", f.name));
  }
  no_such_enumerator();
}

}  // namespace flashbench::cuda
