// cvt: PTX ISA 9.7.9.22.
#include <cfenv>
#include <cmath>
#include <limits>

#include "ptx/opcodes/lane_ops.h"
#include "ptx/opcodes/number_formats.h"

namespace flashbench::ptx {
namespace {

enum Rounding : std::uint8_t { kNone, kNearest, kZero, kDown, kUp, kAway };

double to_integral(double v, std::uint8_t rounding) {
  switch (rounding) {
    case kNearest:
      return std::nearbyint(v);
    case kZero:
      return std::trunc(v);
    case kDown:
      return std::floor(v);
    case kUp:
      return std::ceil(v);
  }
  return v;
}

bool is_integer(Type t) { return is_signed(t) || is_unsigned(t); }

std::int64_t sign_extended(std::uint64_t v, int bytes) {
  const int shift = 64 - 8 * bytes;
  return static_cast<std::int64_t>(v << shift) >> shift;
}
std::uint64_t zero_extended(std::uint64_t v, int bytes) {
  const int shift = 64 - 8 * bytes;
  return v << shift >> shift;
}

double read_float(const Warp& w, const Instruction& ins, Type from, int lane) {
  const auto bits = static_cast<std::uint16_t>(w.get<std::uint32_t>(ins.a, lane));
  if (from == Type::kF64) return w.get<double>(ins.a, lane);
  if (from == Type::kF16) return f16_to_float(bits);
  if (from == Type::kBf16) return bf16_to_float(bits);
  const auto v = w.get<float>(ins.a, lane);
  return ins.flush && std::fabs(v) < std::numeric_limits<float>::min() ? std::copysign(0.0, v) : v;
}

// A double to float in a directed mode.
float narrowed(double v, std::uint8_t rounding) {
  const auto nearest = static_cast<float>(v);
  if (std::isnan(v) || static_cast<double>(nearest) == v || rounding <= kNearest) return nearest;
  const bool down = rounding == kDown || (rounding == kZero && v > 0);
  const bool above = static_cast<double>(nearest) > v;
  if (down) return above ? std::nextafter(nearest, -INFINITY) : nearest;
  return above ? nearest : std::nextafter(nearest, INFINITY);
}

// To a 16-bit format. Towards zero: the value is first converted to float towards zero, so that no
// carry reaches the bits that are kept, and the bits below are then cut off.
std::uint16_t bf16_of(double v, std::uint8_t rounding) {
  if (rounding == kZero) {
    const float f = narrowed(v, kZero);
    return std::isnan(f) ? 0x7FFF
                         : static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(f) >> 16);
  }
  return float_to_bf16(round_to_odd(v));
}

std::uint16_t f16_of(double v, std::uint8_t rounding) {
  const std::uint16_t nearest = float_to_f16(round_to_odd(v));
  if (rounding != kZero || std::isnan(v) || std::isinf(v)) return nearest;
  const bool too_far = std::fabs(static_cast<double>(f16_to_float(nearest))) > std::fabs(v);
  return too_far ? static_cast<std::uint16_t>(nearest - 1) : nearest;
}

std::uint32_t tf32_of(double v, std::uint8_t rounding) {
  const auto u = std::bit_cast<std::uint32_t>(static_cast<float>(v));
  if ((u & 0x7FFFFFFF) >= 0x7F800000) return u;
  const std::uint32_t half = rounding == kAway   ? 0x1000
                             : rounding == kZero ? 0
                                                 : 0xFFF + (u >> 13 & 1);
  return (u + half) & 0xFFFFE000;
}

std::uint64_t float_to_integer(double v, Type to, std::uint8_t rounding) {
  const int bits = 8 * size_of(to);
  if (std::isnan(v)) return size_of(to) == 8 ? std::uint64_t{1} << 63 : 0;
  v = to_integral(v, rounding);
  const double top = std::ldexp(1.0, is_signed(to) ? bits - 1 : bits);
  if (is_signed(to)) {
    if (v >= top) return (std::uint64_t{1} << (bits - 1)) - 1;
    if (v < -top) return static_cast<std::uint64_t>(std::int64_t{-1}) << (bits - 1);
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(v));
  }
  if (v <= 0) return 0;
  if (v >= top) return bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  return static_cast<std::uint64_t>(v);
}

// Integers beyond 2^53 are not exact in double: nearest goes straight to float.
std::uint64_t integer_to_float(std::int64_t v, bool sign, Type to, std::uint8_t rounding) {
  const auto u = static_cast<std::uint64_t>(v);
  if (to == Type::kF64)
    return std::bit_cast<std::uint64_t>(sign ? static_cast<double>(v) : static_cast<double>(u));
  if (to == Type::kF32 && rounding <= kNearest) {
    return std::bit_cast<std::uint32_t>(sign ? static_cast<float>(v) : static_cast<float>(u));
  }
  const double wide = sign ? static_cast<double>(v) : static_cast<double>(u);
  if (to == Type::kF32) return std::bit_cast<std::uint32_t>(narrowed(wide, rounding));
  return to == Type::kF16 ? f16_of(wide, rounding) : bf16_of(wide, rounding);
}

std::uint64_t integer_to_integer(std::int64_t v, bool sign, Type to, bool saturate) {
  if (!saturate) return static_cast<std::uint64_t>(v);
  const int bits = 8 * size_of(to);
  const auto u = static_cast<std::uint64_t>(v);
  const bool negative = sign && v < 0;
  if (is_signed(to)) {
    const std::int64_t top = static_cast<std::int64_t>((std::uint64_t{1} << (bits - 1)) - 1);
    if (negative) return static_cast<std::uint64_t>(std::max(v, -top - 1));
    return std::min(u, static_cast<std::uint64_t>(top));
  }
  return negative ? 0
                  : std::min(u, bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1);
}

std::uint64_t float_to_float(const Instruction& ins, double v, Type to) {
  if (ins.n == 1) v = to_integral(v, ins.mode);  // .rni and its kin keep the format
  if (ins.saturate) v = std::isnan(v) ? 0 : std::fmin(std::fmax(v, 0.0), 1.0);
  if (ins.immediate == 1 && !std::isnan(v)) v = std::fmax(v, 0.0);  // relu
  if (to == Type::kF64) return std::bit_cast<std::uint64_t>(v);
  if (to == Type::kF16) return f16_of(v, ins.mode);
  if (to == Type::kBf16) return bf16_of(v, ins.mode);
  if (to == Type::kTf32) return tf32_of(v, ins.mode);
  const float f = narrowed(v, ins.n == 1 ? std::uint8_t{kNearest} : ins.mode);
  return std::bit_cast<std::uint32_t>(
      ins.flush && std::fabs(f) < std::numeric_limits<float>::min() ? std::copysign(0.0f, f) : f);
}

void cvt(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const Type from = static_cast<Type>(ins.from), to = static_cast<Type>(ins.to);
  const bool from_integer = is_integer(from), to_integer = is_integer(to);
  for_lanes(lanes, [&](int i) {
    std::uint64_t r;
    if (from_integer) {
      const std::uint64_t raw = w.get_wide(ins.a, i, ins.wide_a);
      const std::int64_t v = is_signed(from)
                                 ? sign_extended(raw, size_of(from))
                                 : static_cast<std::int64_t>(zero_extended(raw, size_of(from)));
      r = to_integer ? integer_to_integer(v, is_signed(from), to, ins.saturate)
                     : integer_to_float(v, is_signed(from), to, ins.mode);
    } else {
      const double v = read_float(w, ins, from, i);
      r = to_integer ? float_to_integer(v, to, ins.mode) : float_to_float(ins, v, to);
    }
    // The register may be wider than the type: the value is extended.
    if (to_integer) {
      r = is_signed(to) ? static_cast<std::uint64_t>(sign_extended(r, size_of(to)))
                        : zero_extended(r, size_of(to));
    }
    w.set_wide(ins.d, i, ins.wide_d, r);
  });
}

// The conversions that kernels make most, over whole rows.
struct ToBf16 {
  std::uint16_t operator()(float v) const { return float_to_bf16(v); }
};
struct ToF16 {
  std::uint16_t operator()(float v) const { return float_to_f16(v); }
};
struct FromBf16 {
  float operator()(std::uint16_t v) const { return bf16_to_float(v); }
};
struct FromF16 {
  float operator()(std::uint16_t v) const { return f16_to_float(v); }
};

// cvt.rn.bf16x2.f32 d, a, b: a becomes the upper half.
template <class To>
void pack_pair(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const auto a = load_row<float>(w, ins.a), b = load_row<float>(w, ins.b);
  Lanes<std::uint32_t> r;
  for (std::size_t i = 0; i < kWarpSize; ++i) {
    float high = a.v[i], low = b.v[i];
    if (ins.immediate == 1) {
      high = high > 0 || std::isnan(high) ? high : 0.0f;
      low = low > 0 || std::isnan(low) ? low : 0.0f;
    }
    r.v[i] = static_cast<std::uint32_t>(To{}(high)) << 16 | To{}(low);
  }
  store_row(w, ins.d, r, lanes);
}

bool decode_pair(Decoder& d, const Statement& s, Instruction& ins) {
  if (s.types[1] != Type::kF32 || !d.has("rn")) return false;
  d.operands(3, 3);
  ins.immediate = d.has("relu") ? 1 : 0;
  plain_operands(d, s, ins, Type::kF32);
  ins.execute = s.types[0] == Type::kBf16x2 ? pack_pair<ToBf16> : pack_pair<ToF16>;
  return true;
}

void take_rounding(Decoder& d, Instruction& ins) {
  const auto take = [&](std::string_view integral, std::string_view plain, std::uint8_t mode) {
    if (d.has(integral)) {
      ins.mode = mode;
      ins.n = 1;
    }
    if (d.has(plain)) ins.mode = mode;
  };
  take("rni", "rn", kNearest);
  take("rzi", "rz", kZero);
  take("rmi", "rm", kDown);
  take("rpi", "rp", kUp);
  if (d.has("rna")) ins.mode = kAway;
}

bool decode_cvt(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kConvert;
  if (s.types.size() != 2) return false;
  const Type to = s.types[0], from = s.types[1];
  if (to == Type::kBf16x2 || to == Type::kF16x2) return decode_pair(d, s, ins);
  const auto known = [](Type t) {
    return (is_integer(t) && t != Type::kB128) || is_float(t) || t == Type::kF16 ||
           t == Type::kBf16;
  };
  if (!known(from) || !(known(to) || (to == Type::kTf32 && from == Type::kF32))) return false;
  take_rounding(d, ins);
  ins.flush = d.has("ftz");
  ins.saturate = d.has("sat");
  ins.immediate = d.has("relu") ? 1 : 0;
  // From f32 to f32 .rni rounds to an integer, and .rn would mean nothing.
  if (is_integer(to) && !is_integer(from) && ins.mode == kNone) ins.mode = kZero;
  d.operands(2, 2);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], from);
  ins.wide_a = d.register_bytes(s.operands[1]) == 8 || size_of(from) == 8 ? 8 : 4;
  ins.wide_d = d.register_bytes(s.operands[0]) == 8 ? 8 : 4;
  ins.from = static_cast<std::uint8_t>(from);
  ins.to = static_cast<std::uint8_t>(to);
  ins.execute = cvt;
  const bool bare =
      !ins.saturate && !ins.flush && ins.immediate == 0 && ins.mode <= kNearest && ins.n == 0;
  if (bare && to == Type::kBf16 && from == Type::kF32) ins.execute = unary<float, ToBf16>;
  if (bare && to == Type::kF16 && from == Type::kF32) ins.execute = unary<float, ToF16>;
  if (bare && to == Type::kF32 && from == Type::kBf16) ins.execute = unary<std::uint16_t, FromBf16>;
  if (bare && to == Type::kF32 && from == Type::kF16) ins.execute = unary<std::uint16_t, FromF16>;
  return true;
}

}  // namespace

void add_convert_opcodes(OpcodeTable& t) { t["cvt"] = decode_cvt; }

}  // namespace flashbench::ptx
