// ld, st, atom, red and prefetches: PTX ISA 9.7.9, 9.7.13.
#include <algorithm>
#include <cstring>

#include "core/enumerators.h"
#include "ptx/machine/cta.h"
#include "ptx/opcodes/lane_ops.h"
#include "ptx/opcodes/number_formats.h"

namespace flashbench::ptx {
namespace {

std::uint64_t effective_address(const Warp& w, const Instruction& ins, int lane) {
  const auto offset = static_cast<std::uint64_t>(ins.immediate);
  if (ins.wide_a == 8) return w.get<std::uint64_t>(ins.a, lane) + offset;
  return static_cast<std::uint32_t>(w.get<std::uint32_t>(ins.a, lane) + offset);
}

void load(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  const auto count = static_cast<std::uint32_t>(ins.rows_d.size());
  for_lanes(lanes, [&](int i) {
    const std::uint8_t* p =
        cta.read({w, ins, i}, effective_address(w, ins, i), ins.size * count, ins.space);
    for (std::uint32_t k = 0; k < count; ++k) {
      std::uint64_t v = 0;
      std::memcpy(&v, p + k * ins.size, ins.size);
      if (ins.sign) {
        const int shift = 64 - 8 * ins.size;
        v = static_cast<std::uint64_t>(static_cast<std::int64_t>(v << shift) >> shift);
      }
      w.set_wide(ins.rows_d[k], i, ins.widths[k], v);
    }
  });
}

// Elements that are as wide as their registers, the usual case.
template <class T>
void load_plain(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  const std::size_t count = ins.rows_d.size();
  const auto bytes = static_cast<std::uint32_t>(sizeof(T) * count);
  for_lanes(lanes, [&](int i) {
    const std::uint8_t* p = cta.read({w, ins, i}, effective_address(w, ins, i), bytes, ins.space);
    for (std::size_t k = 0; k < count; ++k) {
      std::memcpy(w.file.data() + ins.rows_d[k] + sizeof(T) * static_cast<std::size_t>(i),
                  p + sizeof(T) * k, sizeof(T));
    }
  });
}

void store(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  std::array<std::uint8_t, 32> data;
  for_lanes(lanes, [&](int i) {
    std::uint32_t bytes = 0;
    for (std::size_t k = 0; k < ins.rows_a.size(); ++k, bytes += ins.size) {
      const std::uint64_t v = w.get_wide(ins.rows_a[k], i, ins.widths[k]);
      std::memcpy(data.data() + bytes, &v, ins.size);
    }
    cta.write({w, ins, i}, effective_address(w, ins, i), bytes, ins.space, data.data());
  });
}

void take_semantics(Decoder& d, Instruction& ins) {
  ins.acquire = d.has("acquire");
  ins.release = d.has("release");
  if (d.has("acq_rel")) ins.acquire = ins.release = true;
  if (d.has("volatile") || d.has("relaxed") || d.has("mmio")) ins.strong = true;
  ins.strong = ins.strong || ins.acquire || ins.release;
  d.ignore({"cta", "cluster", "gpu", "sys"});
}

// Hints on caching change no result.
void ignore_hints(Decoder& d, const Statement& s) {
  d.ignore({"weak", "nc", "ca", "cg", "cs", "cv", "lu", "wb", "wt"});
  for (const std::string& word : s.words) {
    if (word.starts_with("L1::") || word.starts_with("L2::")) d.has(word);
  }
}

std::size_t vector_length(Decoder& d) {
  return d.has("v2") ? 2 : d.has("v4") ? 4 : d.has("v8") ? 8 : 1;
}

bool decode_load_store(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kMemory;
  const bool is_store = s.root() == "st";
  ins.space = d.space();
  take_semantics(d, ins);
  ignore_hints(d, s);
  const std::size_t length = vector_length(d);
  d.operands(2, 3);  // the third is a cache policy
  const Operand& data = s.operands[is_store ? 1 : 0];
  ins.size = static_cast<std::uint8_t>(size_of(s.type()));
  if (ins.size == 0 || ins.size > 8 || ins.size * length > 32) return false;
  d.address(ins, s.operands[is_store ? 0 : 1]);
  if (is_store) {
    ins.rows_a = d.sources(data, s.type(), &ins.widths);
    ins.execute = store;
    return ins.rows_a.size() == length;
  }
  ins.sign = is_signed(s.type());
  ins.rows_d = d.destinations(data, &ins.widths);
  ins.execute = load;
  const auto all = [&](int bytes) {
    return ins.size == bytes && std::ranges::all_of(ins.widths, [&](int w) { return w == bytes; });
  };
  if (all(4)) ins.execute = load_plain<std::uint32_t>;
  if (all(8)) ins.execute = load_plain<std::uint64_t>;
  return ins.rows_d.size() == length;
}

bool decode_prefetch(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kMemory;
  d.ignore({"global", "local", "L1", "L2", "tensormap", "param"});
  ignore_hints(d, s);
  ins.execute = nothing;
  return true;
}

// ---------------------------------------------------------------- atomics

struct Add {
  template <class T>
  T operator()(T a, T b, T) const {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) +
                            static_cast<std::make_unsigned_t<T>>(b));
    else
      return a + b;
  }
};
struct Exchange {
  template <class T>
  T operator()(T, T b, T) const {
    return b;
  }
};
struct CompareSwap {
  template <class T>
  T operator()(T a, T b, T c) const {
    return a == b ? c : a;
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b, T) const {
    return std::min(a, b);
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b, T) const {
    return std::max(a, b);
  }
};
struct And {
  template <class T>
  T operator()(T a, T b, T) const {
    return a & b;
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b, T) const {
    return a | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b, T) const {
    return a ^ b;
  }
};
struct Inc {
  template <class T>
  T operator()(T a, T b, T) const {
    return a >= b ? T{0} : static_cast<T>(a + 1);
  }
};
struct Dec {
  template <class T>
  T operator()(T a, T b, T) const {
    return a == 0 || a > b ? b : static_cast<T>(a - 1);
  }
};
struct AddF16x2 {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b, std::uint32_t) const {
    const auto one = [&](int shift) {
      const float x = f16_to_float(static_cast<std::uint16_t>(a >> shift)),
                  y = f16_to_float(static_cast<std::uint16_t>(b >> shift));
      return static_cast<std::uint32_t>(float_to_f16(x + y)) << shift;
    };
    return one(0) | one(16);
  }
};
struct AddBf16x2 {
  std::uint32_t operator()(std::uint32_t a, std::uint32_t b, std::uint32_t) const {
    const auto one = [&](int shift) {
      const float x = bf16_to_float(static_cast<std::uint16_t>(a >> shift)),
                  y = bf16_to_float(static_cast<std::uint16_t>(b >> shift));
      return static_cast<std::uint32_t>(float_to_bf16(x + y)) << shift;
    };
    return one(0) | one(16);
  }
};

// Lanes of an atomic execute one after the other, beginning with a random one: PTX promises no
// order.
template <class T, class F>
void atomic(Cta& cta, Warp& w, const Instruction& ins, LaneMask lanes) {
  const std::size_t count = ins.rows_a.size();
  const int first = static_cast<int>(cta.random()() % kWarpSize);
  for (int n = 0; n < kWarpSize; ++n) {
    const int i = (first + n) % kWarpSize;
    if ((lanes >> i & 1) == 0) continue;
    std::uint8_t* p = cta.atomic({w, ins, i}, effective_address(w, ins, i),
                                 static_cast<std::uint32_t>(sizeof(T) * count), ins.space);
    for (std::size_t k = 0; k < count; ++k, p += sizeof(T)) {
      T old;
      std::memcpy(&old, p, sizeof(T));
      const T updated = F{}(old, w.get<T>(ins.rows_a[k], i), w.get<T>(ins.c, i));
      std::memcpy(p, &updated, sizeof(T));
      if (!ins.rows_d.empty() && ins.rows_d[k] != kSink) w.set<T>(ins.rows_d[k], i, old);
    }
  }
}

template <class F>
Handler atomic_of(Type t) {
  switch (t) {
    case Type::kF32:
      if constexpr (requires { F{}(1.0f, 1.0f, 1.0f); }) return atomic<float, F>;
      return nullptr;
    case Type::kF64:
      if constexpr (requires { F{}(1.0, 1.0, 1.0); }) return atomic<double, F>;
      return nullptr;
    case Type::kS32:
      return atomic<std::int32_t, F>;
    case Type::kS64:
      return atomic<std::int64_t, F>;
    case Type::kU32:
    case Type::kB32:
      return atomic<std::uint32_t, F>;
    case Type::kU64:
    case Type::kB64:
      return atomic<std::uint64_t, F>;
    case Type::kNone:
    case Type::kPred:
    case Type::kB8:
    case Type::kU8:
    case Type::kS8:
    case Type::kB16:
    case Type::kU16:
    case Type::kS16:
    case Type::kF16:
    case Type::kBf16:
    case Type::kF16x2:
    case Type::kBf16x2:
    case Type::kTf32:
    case Type::kB128:
      return nullptr;
  }
  no_such_enumerator();
}

Handler pick_atomic(Decoder& d, Type t) {
  if (d.has("add")) {
    d.ignore({"noftz"});
    if (t == Type::kF16x2) return atomic<std::uint32_t, AddF16x2>;
    if (t == Type::kBf16x2) return atomic<std::uint32_t, AddBf16x2>;
    return atomic_of<Add>(t);
  }
  if (d.has("exch")) return atomic_of<Exchange>(t);
  if (d.has("cas")) return atomic_of<CompareSwap>(t);
  const bool floating = is_float(t);
  if (d.has("min")) return floating ? nullptr : atomic_of<Min>(t);
  if (d.has("max")) return floating ? nullptr : atomic_of<Max>(t);
  if (floating) return nullptr;
  if (d.has("inc")) return t == Type::kU32 ? atomic<std::uint32_t, Inc> : nullptr;
  if (d.has("dec")) return t == Type::kU32 ? atomic<std::uint32_t, Dec> : nullptr;
  const bool wide = size_of(t) == 8;
  if (d.has("and")) return wide ? atomic<std::uint64_t, And> : atomic<std::uint32_t, And>;
  if (d.has("or")) return wide ? atomic<std::uint64_t, Or> : atomic<std::uint32_t, Or>;
  if (d.has("xor")) return wide ? atomic<std::uint64_t, Xor> : atomic<std::uint32_t, Xor>;
  return nullptr;
}

bool decode_atomic(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kAtomic;
  ins.space = d.space();
  take_semantics(d, ins);
  ignore_hints(d, s);
  const bool returns = s.root() == "atom";
  const std::size_t length = vector_length(d), at = returns ? 1 : 0;
  d.operands(at + 2, at + 4);
  if (returns) {
    ins.rows_d = d.destinations(s.operands[0]);
    if (ins.rows_d.size() != length) return false;
  }
  d.address(ins, s.operands[at]);
  ins.rows_a = d.sources(s.operands[at + 1], s.type());
  if (d.has("cas")) {
    if (s.operands.size() < at + 3) return false;
    ins.c = d.source(s.operands[at + 2], s.type());
  }
  ins.execute = pick_atomic(d, s.type());
  return ins.execute != nullptr && ins.rows_a.size() == length;
}

}  // namespace

void add_memory_opcodes(OpcodeTable& t) {
  t["ld"] = t["ldu"] = t["st"] = decode_load_store;
  t["prefetch"] = t["prefetchu"] = decode_prefetch;
}

void add_atomic_opcodes(OpcodeTable& t) { t["atom"] = t["red"] = decode_atomic; }

}  // namespace flashbench::ptx
