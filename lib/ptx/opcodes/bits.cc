// Shifts over two words, bit counts, bit fields, byte permutation: PTX ISA 9.7.1, 9.7.8.
#include <algorithm>
#include <bit>

#include "ptx/opcodes/lane_ops.h"

namespace flashbench::ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

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

void add_bit_opcodes(OpcodeTable& t) {
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
