// A ragged batch is judged sequence by sequence, and its sinks over all of them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/batch_element.h"
#include "oracle/chain.h"
#include "oracle/verify.h"
#include "system/error.h"
#include "tests/oracle/all_kinds.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

Problem ragged(Dtype dtype, bool causal) {
  Problem p = problem({.h = 4, .h_kv = 2, .d = 16}, dtype, causal);
  p.ragged = Ragged::kLengths;
  p.shape.set(Sequences::of({{70, 90}, {1, 60}, {0, 5}, {120, 120}, {9, 0}, {80, 50}}));
  p.sinks = Sinks::kRandom;
  return p;
}

Inputs inputs_of(const Problem& p) {
  Inputs in;
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  const auto made = [&](Dims dims) {
    Tensor t(p.dtype, dims);
    for (std::int64_t i = 0; i < t.count(); ++i) t.set(i, normal(generator));
    return t;
  };
  in.q = made(p.shape.q_dims());
  in.k = made(p.shape.k_dims());
  in.v = made(p.shape.v_dims());
  in.d_o = made(p.shape.o_dims());
  for (std::int64_t h = 0; h < p.shape.h; ++h) in.sinks.push_back(4 + normal(generator));
  return in;
}

Outputs outputs_of(const Problem& p) {
  const Shape& s = p.shape;
  Outputs out;
  out.o = Tensor(p.dtype, s.o_dims());
  out.lse = Tensor(Dtype::kF32, s.lse_dims());
  out.dq = Tensor(p.dtype, s.q_dims());
  out.dk = Tensor(p.dtype, s.k_dims());
  out.dv = Tensor(p.dtype, s.v_dims());
  out.dsinks = Tensor(Dtype::kF32, s.sink_dims());
  return out;
}

/// In which way sequences are mixed up.
enum class Mixed {
  kNot,
  kSeesKeyOfNext,    ///< each sequence has one key more: the first of the next one
  kMissesLastKey,    ///< a sequence ends one key early
  kOwnKeyOfLongest,  ///< causal is aligned as if all were as long as the longest
  kSinksOfOneAlone,  ///< dsinks lacks the last sequence
  kRowsOfNeighbour,  ///< a row of O is that of the next sequence
  kEmptyNotWritten,  ///< O of a sequence without keys is no zero
};

void copy_rows(const Tensor& from, Tensor& to) {
  const Dims &a = from.dims(), &b = to.dims();
  for (std::int64_t h = 0; h < b.h; ++h)
    for (std::int64_t r = 0; r < std::min(a.rows, b.rows); ++r)
      for (std::int64_t c = 0; c < b.d; ++c) to.set(b.index(0, h, r, c), from.at(0, h, r, c));
}

/// Keys of sequence b and, where more is 1, the first of the next one that has keys.
Tensor with_more_keys(Tensor& all, std::int64_t b, std::int64_t more) {
  const Tensor own = batch_element(all, b);
  Dims dims = own.dims();
  dims.rows += more;
  Tensor t(own.dtype(), dims);
  copy_rows(own, t);
  std::int64_t next = (b + 1) % all.dims().b;
  while (all.dims().rows_of(next) == 0) next = (next + 1) % all.dims().b;
  for (std::int64_t h = 0; h < dims.h && more > 0; ++h)
    for (std::int64_t c = 0; c < dims.d; ++c)
      t.set(dims.index(0, h, dims.rows - 1, c), all.at(next, h, 0, c));
  return t;
}

Outputs attention(const Problem& p, Inputs& in, Mixed mixed) {
  Outputs out = outputs_of(p);
  for (Tensor* t : {&out.o, &out.dq, &out.dk, &out.dv, &out.dsinks})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 0);
  for (std::int64_t b = 0; b < p.shape.b; ++b) {
    Outputs to = batch_element(out, b);
    for (std::int64_t h = 0; h < p.shape.h; ++h)
      for (std::int64_t i = 0; i < p.shape.q_len_of(b); ++i)
        to.lse.set(to.lse.dims().index(0, h, i, 0), in.sinks[static_cast<std::size_t>(h)]);
    if (p.shape.q_len_of(b) == 0 || p.shape.kv_len_of(b) == 0) continue;
    Problem one = sequence(p, b);
    Inputs own = batch_element(p, in, b);
    const std::int64_t more = mixed == Mixed::kSeesKeyOfNext   ? 1
                              : mixed == Mixed::kMissesLastKey ? -1
                                                               : 0;
    if (more != 0) {
      one.shape.kv_len += more;
      own.k = with_more_keys(in.k, b, more);
      own.v = with_more_keys(in.v, b, more);
    }
    if (mixed == Mixed::kOwnKeyOfLongest && one.causal) {
      one.causal = false;
      one.window_right = p.shape.kv_len - p.shape.q_len - one.shape.kv_len + one.shape.q_len;
      if (*one.window_right < 0) one.window_right = 3;
    }
    const Outputs result = host::attention(one, own);
    for (const auto& [from, into] : {std::pair(&result.o, &to.o),
                                     {&result.lse, &to.lse},
                                     {&result.dq, &to.dq},
                                     {&result.dk, &to.dk},
                                     {&result.dv, &to.dv}})
      copy_rows(*from, *into);
    for (std::int64_t h = 0; h < p.shape.h && !(mixed == Mixed::kSinksOfOneAlone && b == 5); ++h)
      out.dsinks.set(h, out.dsinks.at(h) + result.dsinks.at(h));
  }
  if (mixed == Mixed::kRowsOfNeighbour)
    for (std::int64_t c = 0; c < p.shape.d; ++c)
      out.o.set(out.o.dims().index(0, 1, 0, c), out.o.at(3, 1, 0, c));
  if (mixed == Mixed::kEmptyNotWritten) out.o.set(out.o.dims().index(4, 2, 8, 3), 1e-30f);
  return out;
}

TEST(RaggedVerdict, RightResultsPassAndEachMixUpIsNoticed) {
  const struct {
    Mixed mixed;
    const char* tensor;
  } kWrong[] = {{Mixed::kSeesKeyOfNext, "o"},   {Mixed::kMissesLastKey, "o"},
                {Mixed::kOwnKeyOfLongest, "o"}, {Mixed::kSinksOfOneAlone, "dsinks"},
                {Mixed::kRowsOfNeighbour, "o"}, {Mixed::kEmptyNotWritten, "o"}};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const VerifyLevel level : kLevels) {
      const Problem p = ragged(dtype, true);
      Inputs in = inputs_of(p);
      const Reference reference(p, in, level);
      const Verdict right = reference.verify(attention(p, in, Mixed::kNot));
      EXPECT_TRUE(right.ok()) << name(level) << "\n" << describe(right);
      for (const auto& [mixed, tensor] : kWrong) {
        const Verdict v = reference.verify(attention(p, in, mixed));
        EXPECT_FALSE(of(v, tensor).ok) << static_cast<int>(mixed) << ", " << name(level) << "\n"
                                       << describe(v);
      }
    }
}

TEST(RaggedVerdict, NamesTheSequenceThatIsWrong) {
  const Problem p = ragged(Dtype::kF32, false);
  Inputs in = inputs_of(p);
  for (const VerifyLevel level : kLevels) {
    Outputs out = attention(p, in, Mixed::kNot);
    for (std::int64_t r = 0; r < 120; ++r) out.dv.set(out.dv.dims().index(3, 1, r, 2), NAN);
    const TensorVerdict v = of(Reference(p, in, level).verify(out), "dv");
    EXPECT_FALSE(v.ok);
    EXPECT_EQ(v.index[0], 3);
    EXPECT_EQ(v.index[1], 1);
    EXPECT_EQ(v.index[3], 2);
  }
}

TEST(RaggedVerdict, TensorsOfOtherLengthsAreRefused) {
  const Problem p = ragged(Dtype::kF32, false);
  const Inputs in = inputs_of(p);
  Outputs out = outputs_of(p);
  out.o = Tensor(Dtype::kF32, {6, 4, 120, 16});
  EXPECT_THROW(Reference(p, in, VerifyLevel::kFull).verify(out), UsageError);
}

TEST(RaggedVerdict, TheChainLooksAtItsLargestSequence) {
  const Problem p = ragged(Dtype::kF32, true);
  const Inputs in = inputs_of(p);
  const std::vector<ChainLink> links = check_gradient_chain(p, in);
  EXPECT_GE(links.size(), 4u);
  for (const ChainLink& link : links) {
    EXPECT_TRUE(!link.ran() || link.ok()) << link.name;
    EXPECT_NE(link.on.find("sequence 3"), std::string::npos) << link.on;
  }
}

}  // namespace
}  // namespace flashbench::oracle
