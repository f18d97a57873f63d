// After dtype.patch, which adds e5m2 to the dtypes and tells no kernel.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>

#include "data/inputs.h"
#include "expect.h"
#include "oracle/verify.h"
#include "registry/registry.h"

using namespace flashbench;

namespace {

Problem problem() {
  Problem p;
  p.shape = {1, 2, 1, 5, 7, 8};
  p.dtype = Dtype::kE5m2;
  return p;
}

void kernels_refuse_it_by_name() {
  for (const Kernel* kernel : registry::kernels()) {
    const auto why = kernel->refuses(problem(), {});
    const std::string& name = kernel->info().name;
    expect(why && why->kind == Rejection::Kind::kUnsupported &&
               why->reason.starts_with(name + " takes ") && why->reason.ends_with(", not e5m2"),
           name + " takes a dtype that nobody told it of");
  }
}

/// Nearest of all 256, the even one where two are as near: from the definition.
float nearest(float x) {
  float best = 0;
  int best_bits = 0;
  for (int bits = 0; bits < 256; ++bits) {
    const float y = to_f32(E5m2{static_cast<std::uint8_t>(bits)});
    if (!std::isfinite(y)) continue;
    const float gain = std::abs(x - best) - std::abs(x - y);
    if (gain > 0 || (gain == 0 && bits % 2 == 0 && best_bits % 2 == 1)) {
      best = y;
      best_bits = bits;
    }
  }
  return best;
}

void the_row_and_the_conversions_agree() {
  const DtypeRow& row = row_of(Dtype::kE5m2);
  for (const double x : {row.largest, row.smallest_normal, row.smallest_subnormal, 1.25, -3.5})
    expect(static_cast<double>(to_f32(from_f32<E5m2>(static_cast<float>(x)))) == x,
           fmt::format("{} is not kept", x));
  for (float x = -9; x < 9; x += 0.00390635f)
    expect(to_f32(from_f32<E5m2>(x)) == nearest(x), fmt::format("{} is not rounded", x));
}

/// Inputs, outputs and the oracle ask the table: they need no edit.
void the_rest_computes_with_it() {
  Problem p = problem();
  p.pass = Pass::kBoth;
  const Inputs in = data::make_inputs(p);
  expect(in.q.bytes() == 1 * 2 * 5 * 8, "an element is no byte");
  Outputs zeros = data::make_outputs(p);
  for (Tensor* t : {&zeros.o, &zeros.lse, &zeros.dq, &zeros.dk, &zeros.dv})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 0.0f);
  expect(!oracle::verify(p, in, zeros, VerifyLevel::kFull).ok(), "the oracle takes zeros");
}

}  // namespace

int main() {
  expect(from_name<Dtype>("e5m2") == Dtype::kE5m2, "it has no name");
  kernels_refuse_it_by_name();
  the_row_and_the_conversions_agree();
  the_rest_computes_with_it();
  return failures == 0 ? 0 : 1;
}
