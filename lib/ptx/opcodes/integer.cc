// Integer arithmetic and logic: PTX ISA 9.7.1, 9.7.2, 9.7.8.
#include <algorithm>
#include <bit>
#include <limits>

#include "ptx/opcodes/integer_ops.h"
#include "ptx/opcodes/lane_ops.h"

namespace flashbench::ptx {
namespace {

struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(widen(a) - widen(b));
  }
};
struct MulLo {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(widen(a) * widen(b));
  }
};
struct MadLo {
  template <class T>
  T operator()(T a, T b, T c) const {
    return static_cast<T>(widen(a) * widen(b) + widen(c));
  }
};
struct Not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
struct Cnot {
  template <class T>
  T operator()(T a) const {
    return a == 0 ? T{1} : T{0};
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(0 - widen(a));
  }
};
struct Abs {
  template <class T>
  T operator()(T a) const {
    return a < 0 ? Neg{}(a) : a;
  }
};

struct AddSaturated {
  std::int32_t operator()(std::int32_t a, std::int32_t b) const {
    return clamp(std::int64_t{a} + b);
  }
  static std::int32_t clamp(std::int64_t v) {
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(
        v, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()));
  }
};
struct SubSaturated {
  std::int32_t operator()(std::int32_t a, std::int32_t b) const {
    return AddSaturated::clamp(std::int64_t{a} - b);
  }
};

template <class T>
using Double = std::conditional_t<
    sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, std::int32_t, std::uint32_t>,
    std::conditional_t<sizeof(T) == 4,
                       std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;

struct MulHi {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>((static_cast<Double<T>>(a) * static_cast<Double<T>>(b)) >>
                          (8 * sizeof(T)));
  }
};
struct MadHi {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add{}(MulHi{}(a, b), c);
  }
};
struct MulWide {
  template <class T>
  auto operator()(T a, T b) const {
    return static_cast<Double<T>>(static_cast<Double<T>>(a) * static_cast<Double<T>>(b));
  }
};
struct MadWide {
  template <class T>
  auto operator()(T a, T b, Double<T> c) const {
    return Add{}(MulWide{}(a, b), c);
  }
};

// Division by zero gives all ones; the smallest integer by -1 wraps.
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(-1);
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Neg{}(a);
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};

// Counts are clamped to the width.
struct Shl {
  template <class T>
  T operator()(T a, std::uint32_t n) const {
    return n >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<std::uint64_t>(a) << n);
  }
};
struct Shr {
  template <class T>
  T operator()(T a, std::uint32_t n) const {
    if (n >= 8 * sizeof(T)) return static_cast<T>(a < 0 ? -1 : 0);
    return static_cast<T>(a >> n);
  }
};

// add.cc and its kin: the carry is a predicate row of the warp. mode bit 0: subtract, bit 1: takes
// the carry in, bit 2: gives it out.
template <class T>
void with_carry(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const LaneMask in = (ins.mode & 2) != 0 ? w.predicate(ins.c) : 0;
  LaneMask out = 0;
  for_lanes(lanes, [&](int i) {
    using Wide = Double<T>;
    const Wide a = w.get<T>(ins.a, i), b = w.get<T>(ins.b, i), c = in >> i & 1;
    const Wide r = (ins.mode & 1) != 0 ? a - b - c : a + b + c;
    if ((r >> (8 * sizeof(T)) & 1) != 0) out |= LaneMask{1} << i;
    w.set<T>(ins.d, i, static_cast<T>(r));
  });
  if ((ins.mode & 4) != 0) w.set_predicate(ins.d2, out, lanes);
}

bool decode_carry(Decoder& d, const Statement& s, Instruction& ins, bool out) {
  d.operands(3, 3);
  plain_operands(d, s, ins, s.type());
  const bool subtract = s.root().starts_with("sub"), in = s.root().back() == 'c';
  ins.mode = static_cast<std::uint8_t>((subtract ? 1 : 0) | (in ? 2 : 0) | (out ? 4 : 0));
  if (in) ins.c = d.carry();
  if (out) ins.d2 = d.carry();
  if (size_of(s.type()) == 4) ins.execute = with_carry<std::uint32_t>;
  if (size_of(s.type()) == 8) ins.execute = with_carry<std::uint64_t>;
  return ins.execute != nullptr;
}

template <class F>
bool decode_binary(Decoder& d, const Statement& s, Instruction& ins) {
  d.operands(3, 3);
  plain_operands(d, s, ins, s.type());
  ins.execute = integer_handler(s.type(), []<class T>() -> Handler { return binary<T, F>; });
  return ins.execute != nullptr;
}

template <class F>
bool decode_unary(Decoder& d, const Statement& s, Instruction& ins) {
  d.operands(2, 2);
  plain_operands(d, s, ins, s.type());
  ins.execute = integer_handler(s.type(), []<class T>() -> Handler { return unary<T, F>; });
  return ins.execute != nullptr;
}

template <class F, class Saturated>
bool decode_add(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  if (d.has("f32x2")) return decode_float_pair(d, s, ins);
  if (is_half(s.type())) return decode_half(d, s, ins);
  if (is_float(s.type())) return decode_float(d, s, ins);
  if (d.has("cc")) return decode_carry(d, s, ins, true);
  if (d.has("sat")) {
    if (s.type() != Type::kS32) return false;
    plain_operands(d, s, ins, s.type());
    ins.execute = binary<std::int32_t, Saturated>;
    return true;
  }
  return decode_binary<F>(d, s, ins);
}

bool decode_addc(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  return decode_carry(d, s, ins, d.has("cc"));
}

bool decode_mul(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  if (d.has("f32x2")) return decode_float_pair(d, s, ins);
  if (is_half(s.type())) return decode_half(d, s, ins);
  if (is_float(s.type())) return decode_float(d, s, ins);
  if (d.has("lo")) return decode_binary<MulLo>(d, s, ins);
  if (d.has("hi")) return decode_binary<MulHi>(d, s, ins);
  if (!d.has("wide")) return false;
  d.operands(3, 3);
  plain_operands(d, s, ins, s.type());
  ins.execute = integer_handler(s.type(), []<class T>() -> Handler {
    if constexpr (sizeof(T) < 8) return binary<T, MulWide>;
    return nullptr;
  });
  return ins.execute != nullptr;
}

bool decode_mad(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  if (is_half(s.type())) return decode_half(d, s, ins);
  if (is_float(s.type())) return decode_float(d, s, ins);
  d.operands(4, 4);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.type());
  ins.b = d.source(s.operands[2], s.type());
  if (d.has("wide")) {
    ins.c = d.source(s.operands[3], size_of(s.type()) == 4 ? Type::kU64 : Type::kU32);
    ins.execute = integer_handler(s.type(), []<class T>() -> Handler {
      if constexpr (sizeof(T) < 8) return ternary<T, Double<T>, MadWide>;
      return nullptr;
    });
    return ins.execute != nullptr;
  }
  ins.c = d.source(s.operands[3], s.type());
  const bool lo = d.has("lo"), hi = d.has("hi");
  if (lo == hi) return false;
  ins.execute = integer_handler(s.type(), [&]<class T>() -> Handler {
    return lo ? ternary<T, T, MadLo> : ternary<T, T, MadHi>;
  });
  return ins.execute != nullptr;
}

template <class F>
bool decode_arithmetic(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  if (is_half(s.type())) return decode_half(d, s, ins);
  if (is_float(s.type())) return decode_float(d, s, ins);
  if constexpr (requires { F{}(1, 1); }) {
    return decode_binary<F>(d, s, ins);
  } else {
    return decode_unary<F>(d, s, ins);
  }
}

template <class F>
bool decode_logic(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  if (s.type() == Type::kPred) return decode_predicate_logic(d, s, ins);
  return decode_arithmetic<F>(d, s, ins);
}

template <class F>
bool decode_shift(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  d.operands(3, 3);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.type());
  ins.b = d.source(s.operands[2], Type::kU32);
  ins.execute = integer_handler(
      s.type(), []<class T>() -> Handler { return binary_mixed<T, std::uint32_t, F>; });
  return ins.execute != nullptr;
}

}  // namespace

void add_integer_opcodes(OpcodeTable& t) {
  t["add"] = decode_add<Add, AddSaturated>;
  t["sub"] = decode_add<Sub, SubSaturated>;
  t["addc"] = t["subc"] = decode_addc;
  t["mul"] = decode_mul;
  t["mad"] = decode_mad;
  t["div"] = decode_arithmetic<Div>;
  t["rem"] = decode_arithmetic<Rem>;
  t["min"] = decode_arithmetic<Min>;
  t["max"] = decode_arithmetic<Max>;
  t["neg"] = decode_arithmetic<Neg>;
  t["abs"] = decode_arithmetic<Abs>;
  t["and"] = decode_logic<And>;
  t["or"] = decode_logic<Or>;
  t["xor"] = decode_logic<Xor>;
  t["not"] = decode_logic<Not>;
  t["cnot"] = decode_logic<Cnot>;
  t["shl"] = decode_shift<Shl>;
  t["shr"] = decode_shift<Shr>;
}

}  // namespace flashbench::ptx
