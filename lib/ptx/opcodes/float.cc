// f32 and f64 arithmetic: PTX ISA 9.7.3. The approximate functions are computed to full precision:
// what they may err on hardware, they do not here.
#include <cfenv>
#include <cmath>
#include <limits>

#include "ptx/opcodes/lane_ops.h"

namespace flashbench::ptx {
namespace {

enum Rounding : std::uint8_t { kNearest, kZero, kDown, kUp };

float flushed(float v) {
  return std::fabs(v) < std::numeric_limits<float>::min() ? std::copysign(0.0f, v) : v;
}
double flushed(double v) { return v; }

template <class T>
void flush(Lanes<T>& r) {
  for (T& v : r.v) v = flushed(v);
}

template <class T>
T saturated(T v) {  // NaN and -0 become +0
  return v > 0 ? v > 1 ? T{1} : v : T{0};
}

template <class T>
void finish(Warp& w, const Instruction& ins, Lanes<T>& r, LaneMask lanes) {
  if (ins.flush) flush(r);
  if (ins.saturate) {
    for (T& v : r.v) v = saturated(v);
  }
  store_row(w, ins.d, r, lanes);
}

template <class T, class F>
void float_unary(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  Lanes<T> a = load_row<T>(w, ins.a), r;
  if (ins.flush) flush(a);
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = F{}(a.v[i]);
  finish(w, ins, r, lanes);
}

template <class T, class F>
void float_binary(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  Lanes<T> a = load_row<T>(w, ins.a), b = load_row<T>(w, ins.b), r;
  if (ins.flush) flush(a), flush(b);
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = F{}(a.v[i], b.v[i]);
  finish(w, ins, r, lanes);
}

template <class T, class F>
void float_ternary(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  Lanes<T> a = load_row<T>(w, ins.a), b = load_row<T>(w, ins.b), c = load_row<T>(w, ins.c), r;
  if (ins.flush) flush(a), flush(b), flush(c);
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = F{}(a.v[i], b.v[i], c.v[i]);
  finish(w, ins, r, lanes);
}

#if defined(__x86_64__)
// std::fma where the build may not assume FMA3 is a call of the C library for each lane.
__attribute__((target("avx2,fma"))) void fma_f32_hardware(Cta&, Warp& w, const Instruction& ins,
                                                          LaneMask lanes) {
  alignas(32) float a[kWarpSize], b[kWarpSize], c[kWarpSize];
  std::memcpy(a, w.file.data() + ins.a, sizeof a);
  std::memcpy(b, w.file.data() + ins.b, sizeof b);
  std::memcpy(c, w.file.data() + ins.c, sizeof c);
  for (int i = 0; i < kWarpSize; ++i) c[i] = __builtin_fmaf(a[i], b[i], c[i]);
  if (lanes == kAllLanes) {
    std::memcpy(w.file.data() + ins.d, c, sizeof c);
  } else {
    for (; lanes != 0; lanes &= lanes - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(lanes));
      std::memcpy(w.file.data() + ins.d + 4 * i, c + i, 4);
    }
  }
}
bool has_hardware_fma() {
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
}
#endif

// Directed rounding: the processor's mode is changed around calls that the compiler cannot move.
template <class T, class F>
__attribute__((noinline)) T call_rounded(T a, T b, T c) {
  volatile T x = a, y = b, z = c;
  return F{}(x, y, z);
}

template <class T, class F>
void float_directed(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  Lanes<T> a = load_row<T>(w, ins.a), b = load_row<T>(w, ins.b), c = load_row<T>(w, ins.c), r;
  if (ins.flush) flush(a), flush(b), flush(c);
  const int before = std::fegetround();
  std::fesetround(ins.mode == kZero ? FE_TOWARDZERO : ins.mode == kDown ? FE_DOWNWARD : FE_UPWARD);
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = call_rounded<T, F>(a.v[i], b.v[i], c.v[i]);
  std::fesetround(before);
  finish(w, ins, r, lanes);
}

struct Add {
  template <class T>
  T operator()(T a, T b, T = 0) const {
    return a + b;
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b, T = 0) const {
    return a - b;
  }
};
struct Mul {
  template <class T>
  T operator()(T a, T b, T = 0) const {
    return a * b;
  }
};
struct Div {
  template <class T>
  T operator()(T a, T b, T = 0) const {
    return a / b;
  }
};
struct Fma {
  template <class T>
  T operator()(T a, T b, T c) const {
    return std::fma(a, b, c);
  }
};
struct Rcp {
  template <class T>
  T operator()(T a, T = 0, T = 0) const {
    return 1 / a;
  }
};
struct Sqrt {
  template <class T>
  T operator()(T a, T = 0, T = 0) const {
    return std::sqrt(a);
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return -a;
  }
};
struct Abs {
  template <class T>
  T operator()(T a) const {
    return std::fabs(a);
  }
};
struct CopySign {  // the sign of the first, the magnitude of the second
  template <class T>
  T operator()(T a, T b) const {
    return std::copysign(b, a);
  }
};

// Without .NaN a number beats NaN; -0 is less than +0.
template <bool kMax, bool kNan>
struct MinMax {
  template <class T>
  T operator()(T a, T b) const {
    if (std::isnan(a) || std::isnan(b)) {
      if (kNan) return std::numeric_limits<T>::quiet_NaN();
      return std::isnan(a) ? b : a;
    }
    if (a == b) return std::signbit(a) == kMax ? b : a;
    return (a > b) == kMax ? a : b;
  }
  template <class T>
  T operator()(T a, T b, T c) const {
    return (*this)((*this)(a, b), c);
  }
};

struct Ex2 {
  template <class T>
  T operator()(T a) const {
    return std::exp2(a);
  }
};
struct Lg2 {
  template <class T>
  T operator()(T a) const {
    return std::log2(a);
  }
};
struct Rsqrt {
  float operator()(float a) const { return static_cast<float>(1 / std::sqrt(double{a})); }
  double operator()(double a) const { return 1 / std::sqrt(a); }
};
struct Sin {
  template <class T>
  T operator()(T a) const {
    return std::sin(a);
  }
};
struct Cos {
  template <class T>
  T operator()(T a) const {
    return std::cos(a);
  }
};
struct Tanh {
  template <class T>
  T operator()(T a) const {
    return std::tanh(a);
  }
};

void take_modifiers(Decoder& d, Instruction& ins) {
  ins.flush = d.has("ftz");
  ins.saturate = d.has("sat");
  if (d.has("rz")) ins.mode = kZero;
  if (d.has("rm")) ins.mode = kDown;
  if (d.has("rp")) ins.mode = kUp;
  d.ignore({"rn"});
}

template <class F>
Handler unary_of(Type t) {
  return t == Type::kF32 ? float_unary<float, F> : float_unary<double, F>;
}
template <class F>
Handler binary_of(Type t) {
  return t == Type::kF32 ? float_binary<float, F> : float_binary<double, F>;
}
template <class F>
Handler ternary_of(Type t) {
  return t == Type::kF32 ? float_ternary<float, F> : float_ternary<double, F>;
}
template <class F>
Handler directed_of(Type t) {
  return t == Type::kF32 ? float_directed<float, F> : float_directed<double, F>;
}

template <class F>
bool rounded(Decoder& d, const Statement& s, Instruction& ins, Handler nearest,
             std::size_t operand_count) {
  take_modifiers(d, ins);
  d.operands(operand_count, operand_count);
  plain_operands(d, s, ins, s.type());
  ins.execute = ins.mode == kNearest ? nearest : directed_of<F>(s.type());
  return true;
}

bool decode_fma(Decoder& d, const Statement& s, Instruction& ins) {
  if (d.has("f32x2")) return decode_float_pair(d, s, ins);
  if (is_half(s.type())) return decode_half(d, s, ins);
  if (!is_float(s.type())) return false;
  ins.kind = InstructionClass::kFloat;
  rounded<Fma>(d, s, ins, ternary_of<Fma>(s.type()), 4);
#if defined(__x86_64__)
  const bool plain = s.type() == Type::kF32 && ins.mode == kNearest && !ins.flush && !ins.saturate;
  if (plain && has_hardware_fma()) ins.execute = fma_f32_hardware;
#endif
  return true;
}

bool decode_minmax(Decoder& d, const Statement& s, Instruction& ins) {
  ins.flush = d.has("ftz");
  const bool nan = d.has("NaN"), max = s.root() == "max";
  d.operands(3, 4);
  plain_operands(d, s, ins, s.type());
  const bool three = s.operands.size() == 4;
  const auto pick = [&]<bool kMax, bool kNan>() {
    return three ? ternary_of<MinMax<kMax, kNan>>(s.type())
                 : binary_of<MinMax<kMax, kNan>>(s.type());
  };
  ins.execute =
      max ? (nan ? pick.template operator()<true, true>() : pick.template operator()<true, false>())
          : (nan ? pick.template operator()<false, true>()
                 : pick.template operator()<false, false>());
  return true;
}

bool decode_division(Decoder& d, const Statement& s, Instruction& ins) {
  d.ignore({"approx", "full"});
  return rounded<Div>(d, s, ins, binary_of<Div>(s.type()), 3);
}

bool decode_sign(Decoder& d, const Statement& s, Instruction& ins) {
  ins.flush = d.has("ftz");
  d.operands(2, 2);
  plain_operands(d, s, ins, s.type());
  ins.execute = s.root() == "neg" ? unary_of<Neg>(s.type()) : unary_of<Abs>(s.type());
  return true;
}

bool decode_copysign(Decoder& d, const Statement& s, Instruction& ins) {
  if (!is_float(s.type())) return false;
  ins.kind = InstructionClass::kFloat;
  d.operands(3, 3);
  plain_operands(d, s, ins, s.type());
  ins.execute = binary_of<CopySign>(s.type());
  return true;
}

template <class F>
bool decode_special(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kSpecialFunction;
  if (is_half(s.type())) return decode_half(d, s, ins);
  if (!is_float(s.type())) return false;
  d.ignore({"approx"});
  if constexpr (requires { F{}(1.0f, 1.0f, 1.0f); }) {
    return rounded<F>(d, s, ins, unary_of<F>(s.type()), 2);
  } else {
    ins.flush = d.has("ftz");
    d.operands(2, 2);
    plain_operands(d, s, ins, s.type());
    ins.execute = unary_of<F>(s.type());
    return true;
  }
}

// The class of a number as a predicate.
template <class T>
void testp(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  LaneMask r = 0;
  for_lanes(lanes, [&](int i) {
    const T v = w.get<T>(ins.a, i);
    const int c = std::fpclassify(v);
    const bool in = ins.mode == 0   ? std::isfinite(v)
                    : ins.mode == 1 ? std::isinf(v)
                    : ins.mode == 2 ? !std::isnan(v)
                    : ins.mode == 3 ? std::isnan(v)
                    : ins.mode == 4 ? c == FP_NORMAL
                                    : c == FP_SUBNORMAL;
    if (in) r |= LaneMask{1} << i;
  });
  w.set_predicate(ins.d, r, lanes);
}

bool decode_testp(Decoder& d, const Statement& s, Instruction& ins) {
  if (!is_float(s.type())) return false;
  ins.kind = InstructionClass::kCompare;
  constexpr const char* kTests[] = {"finite",     "infinite", "number",
                                    "notanumber", "normal",   "subnormal"};
  bool found = false;
  for (std::uint8_t i = 0; i < std::size(kTests); ++i) {
    if (!d.has(kTests[i])) continue;
    ins.mode = i;
    found = true;
  }
  d.operands(2, 2);
  plain_operands(d, s, ins, s.type());
  ins.execute = s.type() == Type::kF32 ? testp<float> : testp<double>;
  return found;
}

}  // namespace

bool decode_float(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kFloat;
  const std::string& op = s.root();
  if (op == "add") return rounded<Add>(d, s, ins, binary_of<Add>(s.type()), 3);
  if (op == "sub") return rounded<Sub>(d, s, ins, binary_of<Sub>(s.type()), 3);
  if (op == "mul") return rounded<Mul>(d, s, ins, binary_of<Mul>(s.type()), 3);
  if (op == "mad") return decode_fma(d, s, ins);
  if (op == "div") return decode_division(d, s, ins);
  if (op == "min" || op == "max") return decode_minmax(d, s, ins);
  if (op == "neg" || op == "abs") return decode_sign(d, s, ins);
  return false;
}

void add_float_opcodes(OpcodeTable& t) {
  t["fma"] = decode_fma;
  t["copysign"] = decode_copysign;
  t["testp"] = decode_testp;
  t["rcp"] = decode_special<Rcp>;
  t["sqrt"] = decode_special<Sqrt>;
  t["rsqrt"] = decode_special<Rsqrt>;
  t["ex2"] = decode_special<Ex2>;
  t["lg2"] = decode_special<Lg2>;
  t["sin"] = decode_special<Sin>;
  t["cos"] = decode_special<Cos>;
  t["tanh"] = decode_special<Tanh>;
}

}  // namespace flashbench::ptx
