// After dtype.patch, which adds tf32 to the dtypes and tells no kernel.
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
  p.dtype = Dtype::kTf32;
  return p;
}

void kernels_refuse_it_by_name() {
  for (const Kernel* kernel : registry::kernels()) {
    const auto why = kernel->refuses(problem(), {});
    const std::string& name = kernel->info().name;
    expect(why && why->kind == Rejection::Kind::kUnsupported &&
               why->reason.starts_with(name + " takes ") && why->reason.ends_with(", not tf32"),
           name + " takes a dtype that nobody told it of");
  }
}

/// To 11 bits, the even one where two are as near: from the definition.
float nearest(float x) {
  const float unit = x == 0 ? 1 : std::ldexp(1.0f, std::ilogb(x) - 10);
  return std::nearbyint(x / unit) * unit;
}

void the_row_and_the_conversions_agree() {
  const DtypeRow& row = row_of(Dtype::kTf32);
  for (const double x : {row.largest, row.smallest_normal, row.smallest_subnormal, 1.25, -3.5})
    expect(static_cast<double>(to_f32(from_f32<Tf32>(static_cast<float>(x)))) == x,
           fmt::format("{} is not kept", x));
  for (float x = -9; x < 9; x += 0.00390635f)
    expect(to_f32(from_f32<Tf32>(x)) == nearest(x), fmt::format("{} is not rounded", x));
}

/// Inputs, outputs and the oracle ask the table: they need no edit.
void the_rest_computes_with_it() {
  Problem p = problem();
  p.pass = Pass::kBoth;
  const Inputs in = data::make_inputs(p);
  expect(in.q.bytes() == 4 * 2 * 5 * 8, "an element is no four bytes");
  Outputs zeros = data::make_outputs(p);
  for (Tensor* t : {&zeros.o, &zeros.lse, &zeros.dq, &zeros.dk, &zeros.dv})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 0.0f);
  expect(!oracle::verify(p, in, zeros, VerifyLevel::kFull).ok(), "the oracle takes zeros");
}

}  // namespace

int main() {
  expect(from_name<Dtype>("tf32") == Dtype::kTf32, "it has no name");
  kernels_refuse_it_by_name();
  the_row_and_the_conversions_agree();
  the_rest_computes_with_it();
  return failures == 0 ? 0 : 1;
}
