// Two f32 in a register of 64 bits, of 10.0 and later: PTX ISA 9.7.3.
#include <bit>
#include <cmath>

#include "ptx/opcodes/lane_ops.h"

namespace flashbench::ptx {
namespace {

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
  float operator()(float a, float b, float c) const { return std::fma(a, b, c); }
};

float part(std::uint64_t pair, int shift) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(pair >> shift));
}

template <class F>
void pair_op(Cta&, Warp& w, const Instruction& ins, LaneMask lanes) {
  for_lanes(lanes, [&](int i) {
    const auto a = w.get<std::uint64_t>(ins.a, i), b = w.get<std::uint64_t>(ins.b, i);
    // Two operands: c is no register of theirs, and 32 bits wide.
    const std::uint64_t c = ins.n == 3 ? w.get<std::uint64_t>(ins.c, i) : 0;
    std::uint64_t r = 0;
    for (const int shift : {0, 32}) {
      const float v = F{}(part(a, shift), part(b, shift), part(c, shift));
      r |= std::uint64_t{std::bit_cast<std::uint32_t>(v)} << shift;
    }
    w.set<std::uint64_t>(ins.d, i, r);
  });
}

}  // namespace

bool decode_float_pair(Decoder& d, const Statement& s, Instruction& ins) {
  const std::string& op = s.root();
  ins.kind = InstructionClass::kFloat;
  ins.n = op == "fma" ? 3 : 2;
  d.ignore({"rn"});
  d.operands(ins.n + 1u, ins.n + 1u);
  plain_operands(d, s, ins, Type::kB64);
  if (op == "add") ins.execute = pair_op<Add>;
  if (op == "sub") ins.execute = pair_op<Sub>;
  if (op == "mul") ins.execute = pair_op<Mul>;
  if (op == "fma") ins.execute = pair_op<Fma>;
  return ins.execute != nullptr;
}

}  // namespace flashbench::ptx
