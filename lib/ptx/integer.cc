// Integer arithmetic, logic and bits: PTX ISA 9.7.1, 9.7.2, 9.7.8.
#include <algorithm>
#include <bit>
#include <limits>

#include "ptx/lane_ops.h"

namespace flashbench::ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// Arithmetic wraps: it is done on unsigned values of at least 32 bits.
template <class T>
constexpr auto widen(T v) {
  using U = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
  return static_cast<U>(v);
}

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(widen(a) + widen(b));
  }
};
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
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};
struct And {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
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

template <bool kClamp>
constexpr std::uint32_t funnel_count(std::uint32_t n) {
  return kClamp ? std::min(n, 32u) : n & 31;
}
constexpr std::uint64_t both(std::uint32_t low, std::uint32_t high) {
  return std::uint64_t{high} << 32 | low;
}
template <bool kClamp>
struct FunnelLeft {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b, std::uint32_t n) const {
    return static_cast<std::uint32_t>(both(a, b) << funnel_count<kClamp>(n) >> 32);
  }
};
template <bool kClamp>
struct FunnelRight {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b, std::uint32_t n) const {
    return static_cast<std::uint32_t>(both(a, b) >> funnel_count<kClamp>(n));
  }
};

struct Popc {
  template <class T>
  std::uint32_t operator()(T a) const {
    return static_cast<std::uint32_t>(std::popcount(a));
  }
};
struct Clz {
  template <class T>
  std::uint32_t operator()(T a) const {
    return static_cast<std::uint32_t>(std::countl_zero(a));
  }
};
struct Brev {
  template <class T>
  T operator()(T a) const {
    T r = 0;
    for (std::size_t i = 0; i < 8 * sizeof(T); ++i, a >>= 1) r = static_cast<T>(r << 1 | (a & 1));
    return r;
  }
};
// The highest bit that differs from the sign; all ones if there is none.
template <bool kShift>
struct Bfind {
  template <class T>
  std::uint32_t operator()(T a) const {
    const auto u = static_cast<Unsigned<T>>(a < 0 ? ~a : a);
    if (u == 0) return ~0u;
    const auto zeros = static_cast<std::uint32_t>(std::countl_zero(u));
    return kShift ? zeros : static_cast<std::uint32_t>(8 * sizeof(T) - 1) - zeros;
  }
};
struct Bfe {
  template <class T>
  T operator()(T a, std::uint32_t position, std::uint32_t length) const {
    constexpr std::uint32_t kTop = 8 * sizeof(T) - 1;
    position &= 255;
    length &= 255;
    const bool fill =
        std::is_signed_v<T> && length != 0 && (a >> std::min(position + length - 1, kTop) & 1) != 0;
    T r = 0;
    for (std::uint32_t i = 0; i <= kTop; ++i) {
      const bool bit = i < length && position + i <= kTop ? (a >> (position + i) & 1) != 0 : fill;
      if (bit) r = static_cast<T>(r | static_cast<T>(Unsigned<T>{1} << i));
    }
    return r;
  }
};

template <class T>
void bfe(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    w.set<T>(
        ins.d, i,
        Bfe{}(w.get<T>(ins.a, i), w.get<std::uint32_t>(ins.b, i), w.get<std::uint32_t>(ins.c, i)));
  });
}

template <class T>
void bfi(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const T a = w.get<T>(ins.a, i), b = w.get<T>(ins.b, i);
    const std::uint32_t position = w.get<std::uint32_t>(ins.c, i) & 255;
    const std::uint32_t length = w.get<std::uint32_t>(ins.rows_a[0], i) & 255;
    T mask = 0;
    if (position < 8 * sizeof(T)) {
      mask = static_cast<T>((length >= 8 * sizeof(T) ? ~T{0} : (T{1} << length) - 1) << position);
    }
    const T moved = mask == 0 ? T{0} : static_cast<T>(a << position);
    w.set<T>(ins.d, i, (b & ~mask) | (moved & mask));
  });
}

void lop3(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const auto a = load_row<std::uint32_t>(w, ins.a), b = load_row<std::uint32_t>(w, ins.b),
             c = load_row<std::uint32_t>(w, ins.c);
  Lanes<std::uint32_t> r{};
  for (int term = 0; term < 8; ++term) {  // minterms of the truth table
    if ((ins.immediate >> term & 1) == 0) continue;
    const std::uint32_t na = term & 4 ? 0 : ~0u, nb = term & 2 ? 0 : ~0u, nc = term & 1 ? 0 : ~0u;
    for (std::size_t i = 0; i < kWarpSize; ++i)
      r.v[i] |= (a.v[i] ^ na) & (b.v[i] ^ nb) & (c.v[i] ^ nc);
  }
  store_row(w, ins.d, r, lanes);
}

// mode 0: each nibble of the selector picks a byte, its top bit replicates that byte's sign.
void prmt(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const std::uint64_t bytes =
        both(w.get<std::uint32_t>(ins.a, i), w.get<std::uint32_t>(ins.b, i));
    const auto selector = w.get<std::uint32_t>(ins.c, i);
    std::uint32_t r = 0;
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t pick = selector >> (4 * k) & 15;
      auto byte = static_cast<std::uint32_t>(bytes >> (8 * (pick & 7))) & 255;
      if (pick & 8) byte = byte & 128 ? 255 : 0;
      r |= byte << (8 * k);
    }
    w.set<std::uint32_t>(ins.d, i, r);
  });
}

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

template <class F>
bool decode_bits(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  d.operands(2, 2);
  plain_operands(d, s, ins, s.type());
  if (size_of(s.type()) == 4) ins.execute = unary<std::uint32_t, F>;
  if (size_of(s.type()) == 8) ins.execute = unary<std::uint64_t, F>;
  return ins.execute != nullptr;
}

bool decode_bfind(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  d.operands(2, 2);
  plain_operands(d, s, ins, s.type());
  const bool shift = d.has("shiftamt");
  ins.execute = integer_handler(s.type(), [&]<class T>() -> Handler {
    if constexpr (sizeof(T) < 4) return nullptr;
    return shift ? unary<T, Bfind<true>> : unary<T, Bfind<false>>;
  });
  return ins.execute != nullptr;
}

bool decode_bfe(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  d.operands(4, 4);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.type());
  ins.b = d.source(s.operands[2], Type::kU32);
  ins.c = d.source(s.operands[3], Type::kU32);
  ins.execute = integer_handler(s.type(), []<class T>() -> Handler {
    if constexpr (sizeof(T) < 4) return nullptr;
    return bfe<T>;
  });
  return ins.execute != nullptr;
}

bool decode_bfi(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  d.operands(5, 5);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.type());
  ins.b = d.source(s.operands[2], s.type());
  ins.c = d.source(s.operands[3], Type::kU32);
  ins.rows_a = {d.source(s.operands[4], Type::kU32)};
  if (s.type() == Type::kB32) ins.execute = bfi<std::uint32_t>;
  if (s.type() == Type::kB64) ins.execute = bfi<std::uint64_t>;
  return ins.execute != nullptr;
}

bool decode_shf(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  if (s.type() != Type::kB32) return false;
  d.operands(4, 4);
  plain_operands(d, s, ins, Type::kB32);
  const bool left = d.has("l"), right = d.has("r"), clamp = d.has("clamp"), wrap = d.has("wrap");
  if (left == right || clamp == wrap) return false;
  using U = std::uint32_t;
  if (left)
    ins.execute = clamp ? ternary<U, U, FunnelLeft<true>> : ternary<U, U, FunnelLeft<false>>;
  if (right)
    ins.execute = clamp ? ternary<U, U, FunnelRight<true>> : ternary<U, U, FunnelRight<false>>;
  return true;
}

bool decode_lop3(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  if (s.type() != Type::kB32) return false;
  d.operands(5, 5);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], Type::kB32);
  ins.b = d.source(s.operands[2], Type::kB32);
  ins.c = d.source(s.operands[3], Type::kB32);
  ins.immediate = d.integer(s.operands[4]);
  ins.execute = lop3;
  return true;
}

bool decode_prmt(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kInteger;
  if (s.type() != Type::kB32) return false;
  d.operands(4, 4);
  plain_operands(d, s, ins, Type::kB32);
  ins.execute = prmt;
  return true;
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
  t["popc"] = decode_bits<Popc>;
  t["clz"] = decode_bits<Clz>;
  t["brev"] = decode_bits<Brev>;
  t["bfind"] = decode_bfind;
  t["bfe"] = decode_bfe;
  t["bfi"] = decode_bfi;
  t["shf"] = decode_shf;
  t["lop3"] = decode_lop3;
  t["prmt"] = decode_prmt;
}

}  // namespace flashbench::ptx
