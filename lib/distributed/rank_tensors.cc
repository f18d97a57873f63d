#include "distributed/rank_tensors.h"

#include <initializer_list>
#include <utility>

namespace flashbench::distributed {
namespace {

/// Calls `visit(tensor of `t`, dtype, dims)` for each that the problem has.
template <typename Visit>
void for_tensors(RankTensors& t, const Problem& p, const Visit& visit) {
  const Shape& s = p.shape;
  visit(t.in.q, p.dtype, s.q_dims());
  visit(t.in.k, p.dtype, s.k_dims());
  visit(t.in.v, p.dtype, s.v_dims());
  visit(t.out.o, p.dtype, s.o_dims());
  visit(t.out.lse, Dtype::kF32, s.lse_dims());
  if (!p.needs_gradients()) return;
  visit(t.in.d_o, p.dtype, s.o_dims());
  visit(t.out.dq, p.dtype, s.q_dims());
  visit(t.out.dk, p.dtype, s.k_dims());
  visit(t.out.dv, p.dtype, s.v_dims());
}

}  // namespace

Problem with_extents(const Problem& whole, std::int64_t heads_over, std::int64_t q_len,
                     std::int64_t kv_len) {
  Problem p = whole;
  p.shape.h /= heads_over;
  p.shape.h_kv /= heads_over;
  p.shape.q_len = q_len;
  p.shape.kv_len = kv_len;
  return p;
}

RankTensors::RankTensors(const Problem& p) {
  for_tensors(*this, p, [](Tensor& t, Dtype dtype, const Dims& dims) {
    t = Tensor(dtype, dims);
    t.poison();
  });
}

std::size_t RankTensors::bytes(const Problem& p) {
  RankTensors none;
  std::size_t sum = 0;
  for_tensors(none, p, [&](const Tensor&, Dtype dtype, const Dims& dims) {
    sum += static_cast<std::size_t>(dims.count()) * size_bytes(dtype);
  });
  return sum;
}

PairSlots::PairSlots(const Problem& p, Dtype dtype, int slots, std::int64_t most_rows)
    : b_(p.shape.b),
      heads_(p.shape.h_kv),
      d_(p.shape.d),
      d_v_(p.shape.d_v()),
      memory_(dtype, {1, 1, slots, elements(d_ + d_v_, most_rows)}) {}

std::size_t PairSlots::bytes(const Problem& p, Dtype dtype, int slots, std::int64_t most_rows) {
  const Shape& s = p.shape;
  return static_cast<std::size_t>(slots * s.b * s.h_kv * most_rows * (s.d + s.d_v())) *
         size_bytes(dtype);
}

Tensor PairSlots::of_k(int slot, std::int64_t rows) {
  return {memory_.dtype(), {b_, heads_, rows, d_}, at(slot)};
}

Tensor PairSlots::of_v(int slot, std::int64_t rows) {
  const auto k_bytes = static_cast<std::size_t>(elements(d_, rows)) * size_bytes(memory_.dtype());
  return {memory_.dtype(), {b_, heads_, rows, d_v_}, at(slot) + k_bytes};
}

std::span<std::byte> PairSlots::message(int slot, std::int64_t rows) {
  return {at(slot),
          static_cast<std::size_t>(elements(d_ + d_v_, rows)) * size_bytes(memory_.dtype())};
}

std::byte* PairSlots::at(int slot) {
  return memory_.as<std::byte>() +
         static_cast<std::size_t>(memory_.dims().d * slot) * size_bytes(memory_.dtype());
}

}  // namespace flashbench::distributed
