#pragma once

#include "core/enumerators.h"
#include "ptx/machine/warp.h"
#include "ptx/opcodes/decoder.h"

// Handlers that apply a function object to whole rows, lane by lane.
namespace flashbench::ptx {

template <class T, class F>
void unary(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const Lanes<T> a = load_row<T>(w, ins.a);
  Lanes<decltype(F{}(T{}))> r;
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = F{}(a.v[i]);
  store_row(w, ins.d, r, lanes);
}

template <class T, class F>
void binary(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const Lanes<T> a = load_row<T>(w, ins.a), b = load_row<T>(w, ins.b);
  Lanes<decltype(F{}(T{}, T{}))> r;
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = F{}(a.v[i], b.v[i]);
  store_row(w, ins.d, r, lanes);
}

/// The second operand has a type of its own, as a shift's count.
template <class T, class B, class F>
void binary_mixed(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const Lanes<T> a = load_row<T>(w, ins.a);
  const Lanes<B> b = load_row<B>(w, ins.b);
  Lanes<T> r;
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = F{}(a.v[i], b.v[i]);
  store_row(w, ins.d, r, lanes);
}

/// The third operand and the result have a type of their own, as mad.wide's.
template <class T, class C, class F>
void ternary(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const Lanes<T> a = load_row<T>(w, ins.a), b = load_row<T>(w, ins.b);
  const Lanes<C> c = load_row<C>(w, ins.c);
  Lanes<decltype(F{}(T{}, T{}, C{}))> r;
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = F{}(a.v[i], b.v[i], c.v[i]);
  store_row(w, ins.d, r, lanes);
}

/// Calls pick.template operator()<T>() with the C++ type of an integer type; .bN is unsigned.
template <class Pick>
Handler integer_handler(Type type, Pick pick) {
  switch (type) {
    case Type::kS16:
      return pick.template operator()<std::int16_t>();
    case Type::kU16:
    case Type::kB16:
      return pick.template operator()<std::uint16_t>();
    case Type::kS32:
      return pick.template operator()<std::int32_t>();
    case Type::kU32:
    case Type::kB32:
      return pick.template operator()<std::uint32_t>();
    case Type::kS64:
      return pick.template operator()<std::int64_t>();
    case Type::kU64:
    case Type::kB64:
      return pick.template operator()<std::uint64_t>();
    case Type::kNone:
    case Type::kPred:
    case Type::kB8:
    case Type::kU8:
    case Type::kS8:
    case Type::kF16:
    case Type::kBf16:
    case Type::kF32:
    case Type::kF16x2:
    case Type::kBf16x2:
    case Type::kTf32:
    case Type::kF64:
    case Type::kB128:
      return nullptr;
  }
  no_such_enumerator();
}

/// d, a, b, c = the operands, all of `type`.
inline void plain_operands(Decoder& d, const Statement& s, Instruction& ins, Type type) {
  d.operands(2, 4);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], type);
  if (s.operands.size() > 2) ins.b = d.source(s.operands[2], type);
  if (s.operands.size() > 3) ins.c = d.source(s.operands[3], type);
}

}  // namespace flashbench::ptx
