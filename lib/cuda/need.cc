#include "cuda/need.h"

#include <algorithm>

#include "cuda/device/device_tensor.h"
#include "cuda/normal/normal_products.h"
#include "cuda/score_operands.h"
#include "cuda/sequence_lists.h"

namespace flashbench::cuda {
namespace {

std::size_t key_mask_bytes(const Problem& p) {
  return static_cast<std::size_t>(p.shape.b * key_mask_stride(p));
}

/// As long as no mask is known: all keys are kept.
Extent extent_of(const Problem& p, const DeviceInfo& on) {
  return {p.shape,         p.dtype, p.shape.kv_len, padded(p), on.multiprocessors,
          on.shared_bytes, used(p)};
}

/// Pairs in the tiles that a launch visits for the heads that share tiles: all queries of the first
/// one, then those of the second. A tile with rows of two heads meets what any query sees.
double tile_pairs(const Launch& launch, const Visibility& sees) {
  const std::int64_t q_len = sees.q_len(), rows = q_len * launch.heads_a_tile;
  if (launch.product != Product::kNone)
    return static_cast<double>(q_len) * static_cast<double>(sees.kv_len());
  double pairs = 0;
  for (std::int64_t row = 0; row < rows; row += launch.q_tile) {
    const std::int64_t count = std::min<std::int64_t>(launch.q_tile, rows - row), q = row % q_len;
    const KeyRange seen = q + count <= q_len ? sees.keys(q, count) : sees.keys(0, q_len);
    const auto tiles = ceil_div(seen.end, launch.kv_tile) - seen.begin / launch.kv_tile;
    pairs += static_cast<double>(tiles) * launch.q_tile * launch.kv_tile;
  }
  return pairs;
}

}  // namespace

bool padded(const Problem& p) { return p.padding != PaddingMask::kNone; }

std::size_t rows_bytes(const Problem& p) {
  return static_cast<std::size_t>(p.shape.lse_dims().count()) * sizeof(float);
}

std::size_t packed_bytes(const KernelFamily& f, const Problem& p) {
  if (!f.boxed || !padded(p)) return 0;
  return DeviceTensor::bytes(p.kv_dtype(), p.shape.k_dims()) +
         DeviceTensor::bytes(p.kv_dtype(), p.shape.v_dims());
}

bool materialises(const KernelFamily& f) { return f.type == AttentionType::kNormal; }

std::int64_t scores_stride(const Problem& p) { return ceil_div(p.shape.kv_len, 4) * 4; }

std::size_t scores_bytes(const Problem& p) {
  return static_cast<std::size_t>(p.shape.lse_dims().count() * scores_stride(p)) * sizeof(float);
}

std::int64_t key_mask_stride(const Problem& p) { return ceil_div(p.shape.kv_len, 4) * 4; }

Extent extent_of(const Problem& p, const std::vector<Visibility>& sees, const DeviceInfo& on) {
  Extent e = extent_of(p, on);
  e.most_kept = 0;
  for (const Visibility& v : sees) e.most_kept = std::max(e.most_kept, v.kept().count());
  return e;
}

std::size_t family_workspace_bytes(const KernelFamily& f, const Problem& p, const DeviceInfo& on) {
  return f.workspace_bytes == nullptr ? 0 : f.workspace_bytes(extent_of(p, on));
}

std::vector<Launch> timed_launches(const KernelFamily& f, Pass pass, const Extent& e) {
  std::vector<Launch> all;
  if (pass != Pass::kBackward) all = f.forward(e);
  if (pass != Pass::kForward && f.backward != nullptr)
    for (Launch& launch : f.backward(e)) all.push_back(std::move(launch));
  return all;
}

std::vector<Launch> all_launches(const KernelFamily& f, const Problem& p, const Extent& e) {
  return timed_launches(f, p.needs_gradients() ? Pass::kBoth : Pass::kForward, e);
}

DeviceNeed device_need(const KernelFamily& family, const Problem& p,
                       std::size_t product_scratch_bytes, const DeviceInfo& on) {
  const Shape& s = p.shape;
  const std::size_t q_and_o =
      DeviceTensor::bytes(p.dtype, s.q_dims()) + DeviceTensor::bytes(p.dtype, s.o_dims());
  const std::size_t k_and_v =
      DeviceTensor::bytes(p.kv_dtype(), s.k_dims()) + DeviceTensor::bytes(p.kv_dtype(), s.v_dims());
  DeviceNeed need;
  need.tensors = q_and_o + k_and_v + rows_bytes(p) + ScoreOperands::tensor_bytes(p);
  if (p.needs_gradients()) need.tensors += q_and_o + k_and_v;
  if (materialises(family)) {
    need.workspace = scores_bytes(p) * (p.needs_gradients() ? 2 : 1) + product_scratch_bytes +
                     (padded(p) ? key_mask_bytes(p) : 0) +
                     ScoreOperands::workspace_bytes(family, p);
    return need;
  }
  need.workspace = static_cast<std::size_t>(s.b) * KeptKeys::bytes(padded(p), s.kv_len) +
                   packed_bytes(family, p) + family_workspace_bytes(family, p, on) +
                   ScoreOperands::workspace_bytes(family, p) +
                   SequenceLists::bytes(p.shape, all_launches(family, p, extent_of(p, on)));
  if (p.needs_gradients()) need.workspace += 3 * rows_bytes(p);  // maxima, sums, D
  return need;
}

double flop_executed(const KernelFamily& family, const Problem& p,
                     const std::vector<Visibility>& sees) {
  double flop = 0;
  const Extent extent = extent_of(p, sees, DeviceInfo{});  // tiles are the same on every device
  for (const Launch& launch : timed_launches(family, p.pass, extent)) {
    if (launch.pair_flop == 0) continue;
    for (const Visibility& v : sees)
      flop += static_cast<double>(launch.pair_flop * (p.shape.h / launch.heads_a_tile)) *
              tile_pairs(launch, v);
  }
  return flop;
}

bool grid_fits(const KernelFamily& family, const Problem& p) {
  if (materialises(family) && !gemms_fit(p.shape)) return false;
  // A grid that depends on the device is no larger than its number of multiprocessors.
  const std::vector<Launch> all = timed_launches(family, Pass::kBoth, extent_of(p, DeviceInfo{}));
  if (p.shape.sequences != nullptr && !SequenceLists::fit(p.shape)) return false;
  return std::all_of(all.begin(), all.end(), [](const Launch& l) {
    return l.grid_x <= 0x7fffffff && l.grid_y <= 0xffff && l.grid_z <= 0xffff;
  });
}

}  // namespace flashbench::cuda
