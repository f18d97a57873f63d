#pragma once

#include <cstdint>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"

namespace flashbench::oracle {

/// Rows of one head that level sample looks at, ascending.
struct HeadSample {
  std::int64_t b, h;
  std::vector<std::int64_t> rows;
};

/// Query rows for O, LSE and dQ: at least 3 of every head and about 64 of a problem, or as many as
/// 4e8 multiply-adds pay for (50 ms of a core) where those are more. Among them are the first and
/// the last row, the first rows that see a key, rows next to likely tile boundaries and random
/// ones. Decided by the problem and its seed alone. Heads that share a bias whose gradient is
/// wanted have the same rows, 8 at least. `whole`: the batch, where `p` is one sequence of it: of
/// rows it has a share by its length.
std::vector<HeadSample> sample_rows(const Problem& p, const Shape& whole);
inline std::vector<HeadSample> sample_rows(const Problem& p) { return sample_rows(p, p.shape); }
/// How many of each head, of rows and of keys.
std::int64_t sampled_rows(const Problem& p, const Shape& whole);
std::int64_t sampled_keys(const Problem& p, const Shape& whole);
inline std::int64_t sampled_rows(const Problem& p) { return sampled_rows(p, p.shape); }

/// Multiply-adds of a pair of a query and a key, for that many products of them. An exp costs about
/// 100.
double pair_work(const Problem& p, double products);

/// Keys for dK and dV, the same way per K/V head (about 32 of a problem), plus the key of the
/// largest norm: where logits, and with them errors, are largest.
std::vector<HeadSample> sample_keys(const Problem& p, const Inputs& in, const Shape& whole);
inline std::vector<HeadSample> sample_keys(const Problem& p, const Inputs& in) {
  return sample_keys(p, in, p.shape);
}

}  // namespace flashbench::oracle
