#include <omp.h>

#include <algorithm>

#include "core/work.h"
#include "oracle/columns.h"
#include "oracle/rows.h"
#include "oracle/sample.h"
#include "oracle/verify.h"

namespace flashbench::oracle {
namespace {

/// Measured with AVX2: 8e9 multiply-adds a second for each core, and an exp costs about 100.
constexpr double kOfACore = 8e9, kExp = 100;
/// What looking at one element of an output costs in the same unit.
constexpr double kElement = 24;

double cores() { return omp_get_max_threads(); }

/// Multiply-adds of a pair of a query and a key, for that many products.
double pair_work(const Problem& p, double products) {
  constexpr double kBias = 100;  // read element by element; its gradient is kept, too
  const double bias = (p.bias == Bias::kNone ? 0 : kBias) + (p.needs_bias_gradient() ? kBias : 0);
  return products * static_cast<double>(p.shape.d + p.shape.d_v()) / 2 + kExp + bias;
}

/// The share of `all` rows that a sample of the problem looks at.
double sampled_share(double of_problem, std::int64_t heads, double rows) {
  const double per_head = std::max(of_problem / static_cast<double>(heads), 2.0);
  return std::min(per_head / rows, 1.0);
}

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

double verification_s(const Problem& p, VerifyLevel level, int outputs) {
  if (level == VerifyLevel::kNone) return 0;
  const Shape& s = p.shape;
  const bool gradients = p.needs_gradients();
  double rows = pair_work(p, row_products(gradients));
  double columns = gradients ? pair_work(p, kColumnProducts) : 0;
  double hidden = hidden_work(p);
  if (level == VerifyLevel::kSample) {
    const auto b = static_cast<double>(s.b);
    const double queries = static_cast<double>(s.queries()) / b;  // of a sequence, in the mean
    const double share = std::min(1.0, static_cast<double>(sampled_rows(p)) / queries);
    rows *= share;
    columns *= outputs * sampled_share(32, s.b * s.h_kv, static_cast<double>(s.keys()) / b);
    hidden *= share;
  }
  const OperandBytes bytes = operand_bytes(p);
  const double elements = static_cast<double>(bytes.inputs + outputs * bytes.outputs) /
                          static_cast<double>(size_bytes(p.dtype));
  return (expected_visible(p).pairs * (rows + columns) + hidden + elements * kElement) /
         (kOfACore * cores());
}

}  // namespace flashbench::oracle
