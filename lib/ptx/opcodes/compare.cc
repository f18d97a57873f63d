// Comparison, selection and predicates: PTX ISA 9.7.6, 9.7.7.
#include <cmath>
#include <string_view>

#include "ptx/opcodes/lane_ops.h"
#include "ptx/opcodes/number_formats.h"

namespace flashbench::ptx {
namespace {

struct Bf16 {
  using Stored = std::uint16_t;
  static float value(Stored v) { return bf16_to_float(v); }
};
struct F16 {
  using Stored = std::uint16_t;
  static float value(Stored v) { return f16_to_float(v); }
};
template <class T>
struct Plain {
  using Stored = T;
  static T value(T v) { return v; }
};

enum Logic : std::uint8_t { kNone, kAnd, kOr, kXor };

LaneMask combine(const Warp& w, const Instruction& ins, LaneMask r) {
  if (ins.mode == kNone) return r;
  const LaneMask c = w.predicate(ins.c, ins.negate_c);
  return ins.mode == kAnd ? r & c : ins.mode == kOr ? r | c : r ^ c;
}

template <class Format, class F>
LaneMask compare_rows(const Warp& w, const Instruction& ins) {
  auto a = load_row<typename Format::Stored>(w, ins.a),
       b = load_row<typename Format::Stored>(w, ins.b);
  LaneMask r = 0;
  for (std::size_t i = 0; i < kWarpSize; ++i) {
    auto x = Format::value(a.v[i]), y = Format::value(b.v[i]);
    if constexpr (std::is_same_v<decltype(x), float>) {
      if (ins.flush && std::fabs(x) < 0x1p-126f) x = 0;
      if (ins.flush && std::fabs(y) < 0x1p-126f) y = 0;
    }
    r |= static_cast<LaneMask>(F{}(x, y)) << i;
  }
  return r;
}

template <class Format, class F>
void setp(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const LaneMask r = compare_rows<Format, F>(w, ins);
  const LaneMask yes = combine(w, ins, r), no = combine(w, ins, ~r);
  w.set_predicate(ins.d, yes, lanes);
  w.set_predicate(ins.d2, no, lanes);
}

// set.f32 gives 1.0f, set.u32 all ones.
template <class Format, class F>
void set_value(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const LaneMask r = combine(w, ins, compare_rows<Format, F>(w, ins));
  for_lanes(lanes, [&](int i) {
    w.set<std::uint32_t>(ins.d, i,
                         (r >> i & 1) != 0 ? static_cast<std::uint32_t>(ins.immediate) : 0);
  });
}

// Comparisons with NaN are false, except ne and the unordered forms.
struct Eq {
  bool operator()(auto a, auto b) const { return a == b; }
};
struct Ne {
  bool operator()(auto a, auto b) const { return a < b || a > b; }
};
struct Lt {
  bool operator()(auto a, auto b) const { return a < b; }
};
struct Le {
  bool operator()(auto a, auto b) const { return a <= b; }
};
struct Gt {
  bool operator()(auto a, auto b) const { return a > b; }
};
struct Ge {
  bool operator()(auto a, auto b) const { return a >= b; }
};
struct Equ {
  bool operator()(auto a, auto b) const { return !(a < b || a > b); }
};
struct Neu {
  bool operator()(auto a, auto b) const { return a != b; }
};
struct Ltu {
  bool operator()(auto a, auto b) const { return !(a >= b); }
};
struct Leu {
  bool operator()(auto a, auto b) const { return !(a > b); }
};
struct Gtu {
  bool operator()(auto a, auto b) const { return !(a <= b); }
};
struct Geu {
  bool operator()(auto a, auto b) const { return !(a < b); }
};
struct Num {
  bool operator()(auto a, auto b) const { return a == a && b == b; }
};
struct Nan {
  bool operator()(auto a, auto b) const { return a != a || b != b; }
};

template <class F>
Handler comparison(Type t, bool predicate) {
  const auto pick = [&]<class Format>() -> Handler {
    return predicate ? setp<Format, F> : set_value<Format, F>;
  };
  if (t == Type::kF32) return pick.template operator()<Plain<float>>();
  if (t == Type::kF64) return pick.template operator()<Plain<double>>();
  if (t == Type::kF16) return pick.template operator()<F16>();
  if (t == Type::kBf16) return pick.template operator()<Bf16>();
  return integer_handler(
      t, [&]<class T>() -> Handler { return pick.template operator()<Plain<T>>(); });
}

using Maker = Handler (*)(Type, bool);
struct Comparison {
  std::string_view name;
  Maker make;
  bool of_unsigned = false;  ///< lo, ls, hi, hs
};
constexpr Comparison kComparisons[] = {
    {"eq", comparison<Eq>},       {"ne", comparison<Ne>},       {"lt", comparison<Lt>},
    {"le", comparison<Le>},       {"gt", comparison<Gt>},       {"ge", comparison<Ge>},
    {"equ", comparison<Equ>},     {"neu", comparison<Neu>},     {"ltu", comparison<Ltu>},
    {"leu", comparison<Leu>},     {"gtu", comparison<Gtu>},     {"geu", comparison<Geu>},
    {"num", comparison<Num>},     {"nan", comparison<Nan>},     {"lo", comparison<Lt>, true},
    {"ls", comparison<Le>, true}, {"hi", comparison<Gt>, true}, {"hs", comparison<Ge>, true},
};

Type unsigned_of(Type t) {
  return size_of(t) == 2 ? Type::kU16 : size_of(t) == 4 ? Type::kU32 : Type::kU64;
}

bool decode_comparison(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kCompare;
  const bool predicate = s.root() == "setp";
  if (s.types.size() != (predicate ? 1u : 2u)) return false;
  ins.flush = d.has("ftz");
  d.operands(3, 4);
  const Operand& result = s.operands[0];
  if (result.kind == Operand::Kind::kPair) {
    ins.d = d.destination(result.parts[0]);
    ins.d2 = d.destination(result.parts[1]);
  } else {
    ins.d = d.destination(result);
  }
  ins.a = d.source(s.operands[1], s.type());
  ins.b = d.source(s.operands[2], s.type());
  if (s.operands.size() == 4) {
    ins.c = d.source(s.operands[3], Type::kPred);
    ins.negate_c = s.operands[3].negated;
    ins.mode = d.has("and") ? kAnd : d.has("or") ? kOr : d.has("xor") ? kXor : kNone;
    if (ins.mode == kNone) return false;
  }
  if (!predicate) {
    if (s.types[0] == Type::kF32)
      ins.immediate = 0x3F800000;
    else if (s.types[0] == Type::kU32 || s.types[0] == Type::kS32)
      ins.immediate = 0xFFFFFFFF;
    else
      return false;
  }
  for (const Comparison& c : kComparisons) {
    if (!d.has(c.name)) continue;
    ins.execute = c.make(c.of_unsigned ? unsigned_of(s.type()) : s.type(), predicate);
  }
  return ins.execute != nullptr;
}

// selp: an undefined value may be selected from as long as nothing but moves looks at it.
template <class T>
void selp(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const Lanes<T> a = load_row<T>(w, ins.a), b = load_row<T>(w, ins.b);
  const LaneMask p = w.predicate(ins.c, ins.negate_c);
  Lanes<T> r;
  for (std::size_t i = 0; i < kWarpSize; ++i) r.v[i] = (p >> i & 1) != 0 ? a.v[i] : b.v[i];
  store_row(w, ins.d, r, lanes);
  const LaneMask known = w.defined[row_index(ins.c)] &
                         ((w.defined[row_index(ins.a)] & p) | (w.defined[row_index(ins.b)] & ~p));
  LaneMask& defined = w.defined[row_index(ins.d)];
  defined = (defined & ~lanes) | (known & lanes);
}

bool decode_selp(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kCompare;
  ins.moves_only = true;
  d.operands(4, 4);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.type());
  ins.b = d.source(s.operands[2], s.type());
  ins.c = d.source(s.operands[3], Type::kPred);
  ins.negate_c = s.operands[3].negated;
  ins.execute = size_of(s.type()) == 8 ? selp<std::uint64_t> : selp<std::uint32_t>;
  return size_of(s.type()) >= 2 && size_of(s.type()) <= 8;
}

template <class C>
void slct(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const Row from = w.get<C>(ins.c, i) >= 0 ? ins.a : ins.b;
    w.set_wide(ins.d, i, ins.wide_d, w.get_wide(from, i, ins.wide_d));
  });
}

bool decode_slct(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kCompare;
  if (s.types.size() != 2) return false;
  d.operands(4, 4);
  ins.d = d.destination(s.operands[0]);
  ins.a = d.source(s.operands[1], s.types[0]);
  ins.b = d.source(s.operands[2], s.types[0]);
  ins.c = d.source(s.operands[3], s.types[1]);
  ins.wide_d = size_of(s.types[0]) == 8 ? 8 : 4;
  if (s.types[1] == Type::kS32) ins.execute = slct<std::int32_t>;
  if (s.types[1] == Type::kF32) ins.execute = slct<float>;
  return ins.execute != nullptr;
}

enum PredicateOp : std::uint8_t { kPredAnd, kPredOr, kPredXor, kPredNot };

void predicate_logic(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  const LaneMask a = w.predicate(ins.a, ins.negate_a);
  const LaneMask b = ins.mode == kPredNot ? 0 : w.predicate(ins.b, ins.negate_b);
  const LaneMask r = ins.mode == kPredAnd   ? a & b
                     : ins.mode == kPredOr  ? a | b
                     : ins.mode == kPredXor ? a ^ b
                                            : ~a;
  w.set_predicate(ins.d, r, lanes);
}

}  // namespace

bool decode_predicate_logic(Decoder& d, const Statement& s, Instruction& ins) {
  ins.kind = InstructionClass::kCompare;
  const std::string& op = s.root();
  ins.mode = op == "and" ? kPredAnd : op == "or" ? kPredOr : op == "xor" ? kPredXor : kPredNot;
  if (ins.mode == kPredNot && op != "not") return false;
  const std::size_t operands = op == "not" ? 2 : 3;
  d.operands(operands, operands);
  plain_operands(d, s, ins, Type::kPred);
  ins.negate_a = s.operands[1].negated;
  ins.negate_b = operands == 3 && s.operands[2].negated;
  ins.execute = predicate_logic;
  return true;
}

void add_compare_opcodes(OpcodeTable& t) {
  t["setp"] = t["set"] = decode_comparison;
  t["selp"] = decode_selp;
  t["slct"] = decode_slct;
}

}  // namespace flashbench::ptx
