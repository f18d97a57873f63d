// f16 and bf16 arithmetic, single and packed in pairs: PTX ISA 9.7.4. Each operation is computed
// in f32 and rounded again: that double rounding is innocuous for add, sub and mul; fma is rounded
// to odd first.
#include <cmath>

#include "ptx/opcodes/lane_ops.h"
#include "ptx/opcodes/number_formats.h"

namespace flashbench::ptx {
namespace {

struct Bf16 {
  static float wide(std::uint32_t v) { return bf16_to_float(static_cast<std::uint16_t>(v)); }
  static std::uint32_t narrow(float v) { return float_to_bf16(v); }
};
struct F16 {
  static float wide(std::uint32_t v) { return f16_to_float(static_cast<std::uint16_t>(v)); }
  static std::uint32_t narrow(float v) { return float_to_f16(v); }
};

struct Add {
  float operator()(float a, float b, float) const { return a + b; }
};
struct Sub {
  float operator()(float a, float b, float) const { return a - b; }
};
struct Mul {
  float operator()(float a, float b, float) const { return a * b; }
};
struct Fma {
  float operator()(float a, float b, float c) const { return fma_to_odd(a, b, c); }
};
struct Ex2 {
  float operator()(float a, float, float) const { return std::exp2(a); }
};
struct Tanh {
  float operator()(float a, float, float) const { return std::tanh(a); }
};
template <bool kMax, bool kNan>
struct MinMax {
  float operator()(float a, float b, float) const {
    if (std::isnan(a) || std::isnan(b)) return kNan ? NAN : std::isnan(a) ? b : a;
    if (a == b) return std::signbit(a) == kMax ? b : a;
    return (a > b) == kMax ? a : b;
  }
};

// n: how many values a register holds.
template <class Format, class F>
void half_op(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const auto a = w.get<std::uint32_t>(ins.a, i), b = w.get<std::uint32_t>(ins.b, i),
               c = w.get<std::uint32_t>(ins.c, i);
    std::uint32_t r = 0;
    for (int k = 0; k < 16 * ins.n; k += 16) {
      float v = F{}(Format::wide(a >> k), Format::wide(b >> k), Format::wide(c >> k));
      if (ins.saturate) v = std::isnan(v) ? 0.0f : std::fmin(std::fmax(v, 0.0f), 1.0f);
      if (ins.mode == 1 && !std::isnan(v)) v = std::fmax(v, 0.0f);  // relu
      r |= Format::narrow(v) << k;
    }
    w.set<std::uint32_t>(ins.d, i, r);
  });
}

// neg and abs touch the sign bits only.
template <bool kNeg>
void half_sign(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const std::uint32_t signs = ins.n == 2 ? 0x80008000u : 0x8000u;
  for_lanes(lanes, [&](int i) {
    const auto a = w.get<std::uint32_t>(ins.a, i);
    w.set<std::uint32_t>(ins.d, i, kNeg ? a ^ signs : a & ~signs);
  });
}

template <class F>
Handler of(Type t) {
  return t == Type::kBf16 || t == Type::kBf16x2 ? half_op<Bf16, F> : half_op<F16, F>;
}

Handler min_max_of(Decoder& d, Type t, bool max) {
  if (d.has("NaN")) return max ? of<MinMax<true, true>>(t) : of<MinMax<false, true>>(t);
  return max ? of<MinMax<true, false>>(t) : of<MinMax<false, false>>(t);
}

}  // namespace

bool decode_half(Decoder& d, const Statement& s, Instruction& ins) {
  const Type t = s.type();
  const std::string& op = s.root();
  ins.n = t == Type::kF16x2 || t == Type::kBf16x2 ? 2 : 1;
  ins.saturate = d.has("sat");
  if (d.has("relu")) ins.mode = 1;
  d.ignore({"rn", "approx"});
  const bool unary = op == "neg" || op == "abs" || op == "ex2" || op == "tanh";
  const std::size_t operands = unary ? 2 : op == "fma" ? 4 : 3;
  d.operands(operands, operands);
  plain_operands(d, s, ins, t);
  ins.kind =
      op == "ex2" || op == "tanh" ? InstructionClass::kSpecialFunction : InstructionClass::kHalf;
  if (op == "add") ins.execute = of<Add>(t);
  if (op == "sub") ins.execute = of<Sub>(t);
  if (op == "mul") ins.execute = of<Mul>(t);
  if (op == "fma") ins.execute = of<Fma>(t);
  if (op == "ex2") ins.execute = of<Ex2>(t);
  if (op == "tanh") ins.execute = of<Tanh>(t);
  if (op == "min" || op == "max") ins.execute = min_max_of(d, t, op == "max");
  if (op == "neg") ins.execute = half_sign<true>;
  if (op == "abs") ins.execute = half_sign<false>;
  // Flushing to zero is not known for 16-bit formats, except where ex2 has no other form.
  if (op == "ex2" && (t == Type::kBf16 || t == Type::kBf16x2)) d.ignore({"ftz"});
  return ins.execute != nullptr;
}

}  // namespace flashbench::ptx
