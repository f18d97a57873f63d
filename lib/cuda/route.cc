#include "cuda/route.h"

#include <fmt/format.h>

#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/normal/normal_cublas.h"
#include "cuda/simt_f32/simt_f32.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a.h"

namespace flashbench::cuda {
namespace {

constexpr const KernelFamily* kFamilies[] = {&wgmma_sm90a::kFamily, &mma_sm80::kFamily,
                                             &simt_f32::kFamily, &normal_cublas::kFamily};

std::string dtypes(const KernelFamily& f) {
  std::string text;
  for (const Dtype t : kDtypes)
    if (f.takes(t)) text += fmt::format("{}{}", text.empty() ? "" : " and ", name(t));
  return text;
}

std::string capability_text(int capability) {
  return fmt::format("{}.{}", capability / 10, capability % 10);
}

}  // namespace

std::span<const KernelFamily* const> families() { return kFamilies; }

std::optional<std::string> reason(const KernelFamily& f, const RouteQuery& q) {
  switch (refusal(f, q)) {
    case Refusal::kCapability:
      return fmt::format("{} needs compute capability {}, this device has {}", f.name,
                         capability_text(f.min_capability), capability_text(q.capability));
    case Refusal::kCapabilityTooNew:
      return fmt::format("{} is machine code for compute capability {} only, this device has {}",
                         f.name, capability_text(f.max_capability), capability_text(q.capability));
    case Refusal::kDtype:
      return fmt::format("{} takes {}, not {}", f.name, dtypes(f), name(q.dtype));
    case Refusal::kHeadDim:
      return fmt::format("{} takes head dimensions up to {}, not {}", f.name, f.max_d, q.d);
    case Refusal::kShared:
      return fmt::format("{} needs {} bytes of shared memory a block at d = {}, this device has {}",
                         f.name, f.shared_bytes(q.pass, q.d), q.d, q.shared_bytes);
    case Refusal::kOrder:
      return fmt::format("{} adds gradients in no fixed order; leave --deterministic away", f.name);
    case Refusal::kNone:
    default:
      return std::nullopt;
  }
}

}  // namespace flashbench::cuda
