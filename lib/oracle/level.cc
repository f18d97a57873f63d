#include <omp.h>

#include <algorithm>

#include "core/work.h"
#include "oracle/columns.h"
#include "oracle/rows.h"
#include "oracle/sample.h"
#include "oracle/verify.h"

namespace flashbench::oracle {
namespace {

/// Measured with AVX2: multiply-adds a second for each core.
constexpr double kOfACore = 8e9;
/// What looking at one element of an output costs in the same unit.
constexpr double kElement = 24;

double cores() { return omp_get_max_threads(); }

/// What pairs cost that nobody sees: they are passed over one by one.
double hidden_work(const Problem& p) {
  constexpr double kOfAPair = 40;
  return kOfAPair * (all_pairs(p.shape) - expected_visible(p).pairs);
}

}  // namespace

VerifyLevel choose_level(VerifyMode mode, const Problem& p) {
  if (mode == VerifyMode::kNone) return VerifyLevel::kNone;
  if (mode == VerifyMode::kFull) return VerifyLevel::kFull;
  if (mode == VerifyMode::kSample) return VerifyLevel::kSample;
  const bool gradients = p.needs_gradients();
  const double products = row_products(gradients) + (gradients ? kColumnProducts : 0);
  const double work = expected_visible(p).pairs * pair_work(p, products) + hidden_work(p);
  return work <= kOfACore * cores() ? VerifyLevel::kFull : VerifyLevel::kSample;
}

namespace {

/// Work on pairs at level sample, of a problem or of one sequence of `whole`.
double sampled_work(const Problem& p, const Shape& whole, int outputs) {
  const Shape& s = p.shape;
  const auto share = [](std::int64_t looked_at, std::int64_t all) {
    return std::min(1.0, static_cast<double>(looked_at) / static_cast<double>(all));
  };
  const bool gradients = p.needs_gradients();
  const double of_rows = share(sampled_rows(p, whole), s.q_len);
  const double of_keys = share(sampled_keys(p, whole), s.kv_len);
  const double rows = of_rows * pair_work(p, row_products(gradients));
  const double columns = gradients ? outputs * of_keys * pair_work(p, kColumnProducts) : 0;
  return expected_visible(p).pairs * (rows + columns) + of_rows * hidden_work(p);
}

double sampled_work(const Problem& p, int outputs) {
  if (p.shape.sequences == nullptr) return sampled_work(p, p.shape, outputs);
  double work = 0;
  for (std::int64_t b = 0; b < p.shape.b; ++b)
    if (p.shape.q_len_of(b) > 0 && p.shape.kv_len_of(b) > 0)
      work += sampled_work(sequence(p, b), p.shape, outputs);
  return work;
}

double full_work(const Problem& p) {
  const bool gradients = p.needs_gradients();
  const double columns = gradients ? pair_work(p, kColumnProducts) : 0;
  return expected_visible(p).pairs * (pair_work(p, row_products(gradients)) + columns) +
         hidden_work(p);
}

}  // namespace

double verification_s(const Problem& p, VerifyLevel level, int outputs) {
  if (level == VerifyLevel::kNone) return 0;
  const double on_pairs = level == VerifyLevel::kSample ? sampled_work(p, outputs) : full_work(p);
  const OperandBytes bytes = operand_bytes(p);
  const double elements = static_cast<double>(bytes.inputs + outputs * bytes.outputs) /
                          static_cast<double>(size_bytes(p.dtype));
  return (on_pairs + elements * kElement) / (kOfACore * cores());
}

}  // namespace flashbench::oracle
