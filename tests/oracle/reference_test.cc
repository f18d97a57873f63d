#include "oracle/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "oracle/dense.h"
#include "tests/oracle/host_attention.h"

namespace flashbench::oracle {
namespace {

/// loss = Σ dO∘O of rows from the oracle.
double loss(const Definition& def) {
  double sum = 0;
  const Dims dims = def.shape().o_dims();
  for (const RowPart& part : all_rows(def))
    for (std::size_t n = 0; n < part.rows.size(); ++n)
      for (std::int64_t c = 0; c < dims.d; ++c)
        sum += static_cast<double>(def.inputs().d_o.at(part.b, part.h, part.rows[n], c)) *
               part.results.o
                   .value[n * static_cast<std::size_t>(dims.d) + static_cast<std::size_t>(c)];
  return sum;
}

/// (loss(x + e) - loss(x - e)) / 2e for one element.
double finite_difference(const Problem& p, Inputs& in, Tensor& t, std::int64_t i) {
  const float x = t.at(i), e = 0x1p-9f;
  t.set(i, x + e);
  const double up = loss(Definition(p, in));
  t.set(i, x - e);
  const double down = loss(Definition(p, in));
  t.set(i, x);
  return (up - down) / (2 * static_cast<double>(e));
}

struct FlatGradients {
  Doubles o, lse, dq, dk, dv;
};

FlatGradients gradients(const Definition& def) {
  FlatGradients g;
  const auto rows = all_rows(def);
  for (const RowPart& part : rows) {
    g.o.insert(g.o.end(), part.results.o.value.begin(), part.results.o.value.end());
    g.lse.insert(g.lse.end(), part.results.lse.value.begin(), part.results.lse.value.end());
    g.dq.insert(g.dq.end(), part.results.dq.value.begin(), part.results.dq.value.end());
  }
  for (const ColumnPart& part : all_columns(def, rows)) {
    g.dk.insert(g.dk.end(), part.results.dk.value.begin(), part.results.dk.value.end());
    g.dv.insert(g.dv.end(), part.results.dv.value.begin(), part.results.dv.value.end());
  }
  return g;
}

Problem grouped_problem() {
  Problem p;
  p.shape = {2, 4, 2, 9, 7, 5};  // causal: two rows see nothing
  p.pass = Pass::kBackward;
  p.causal = true;
  p.padding = PaddingMask::kFile;
  p.d_o = GradSource::kRandom;
  return p;
}

Inputs grouped_inputs(const Problem& p) {
  Inputs in = host::random_inputs(p);
  // Multiples of 2^-12, so that x ± 2^-9 is exact in f32.
  for (Tensor* t : {&in.q, &in.k, &in.v, &in.d_o})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, std::round(t->at(i) * 4096) / 4096);
  in.key_mask = {1, 1, 0, 1, 1, 1, 0, /**/ 0, 1, 1, 1, 1, 0, 1};
  return in;
}

void expect_finite_differences(const Problem& p) {
  Inputs in = grouped_inputs(p);
  const FlatGradients g = gradients(Definition(p, in));
  const auto compare = [&](Tensor& t, const Doubles& want, const char* name) {
    ASSERT_EQ(static_cast<std::int64_t>(want.size()), t.count()) << name;
    for (std::int64_t i = 0; i < t.count(); i += 3)
      EXPECT_NEAR(finite_difference(p, in, t, i), want.data()[i], 2e-5) << name << " " << i;
  };
  compare(in.q, g.dq, "dq");
  compare(in.k, g.dk, "dk");
  compare(in.v, g.dv, "dv");
}

TEST(Reference, GradientsAreFiniteDifferencesWithGroupsMasksAndEmptyRows) {
  expect_finite_differences(grouped_problem());
}

TEST(Reference, GradientsAreFiniteDifferencesWhereValuesAreNarrowerOrWider) {
  for (const std::int64_t d_v : {1, 3, 9}) {
    SCOPED_TRACE(d_v);
    Problem p = grouped_problem();
    p.shape.own_d_v = d_v;
    expect_finite_differences(p);
  }
}

// Columns of V do not see each other: leaving some out leaves the others' results as they were.
TEST(Reference, ResultsOfNarrowValuesAreThoseOfTheFirstColumns) {
  const Problem whole = grouped_problem();
  Problem narrow = whole;
  narrow.shape.own_d_v = 2;
  const Inputs in = grouped_inputs(whole);
  Inputs cut = grouped_inputs(narrow);
  const auto first_columns = [](const Tensor& from, Tensor& to) {
    for (std::int64_t i = 0; i < to.count(); ++i)
      to.set(i, from.at(i / to.dims().d * from.dims().d + i % to.dims().d));
  };
  first_columns(in.q, cut.q);
  first_columns(in.k, cut.k);
  first_columns(in.v, cut.v);
  const std::vector<RowPart> want = all_rows(Definition(whole, in));
  const std::vector<RowPart> got = all_rows(Definition(narrow, cut));
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].results.lse.value, want[i].results.lse.value);
    for (std::size_t n = 0; n < want[i].rows.size(); ++n)
      for (std::size_t c = 0; c < 2; ++c)
        EXPECT_EQ(got[i].results.o.value[2 * n + c], want[i].results.o.value[5 * n + c]);
  }
}

TEST(Reference, EmptyRowsAreZeroWithLseMinusInf) {
  const Problem p = grouped_problem();
  const Inputs in = grouped_inputs(p);
  for (const RowPart& part : all_rows(Definition(p, in)))
    for (std::size_t n = 0; n < part.rows.size(); ++n) {
      // Two rows precede the first key; batch 1 pads that key too.
      const bool empty = part.rows[n] < (part.b == 0 ? 2 : 3);
      const double inf = std::numeric_limits<double>::infinity();
      EXPECT_EQ(part.results.lse.value[n] == -inf, empty) << part.b << " " << part.rows[n];
      for (std::size_t c = n * 5; c < n * 5 + 5; ++c)
        for (const Expected* x : {&part.results.o, &part.results.dq}) {
          EXPECT_EQ(x->noise[c].variance() == 0, empty);
          if (empty) {
            EXPECT_EQ(x->value[c], 0);
          }
        }
    }
}

TEST(Reference, OneKeyReturnsItsValueAndTheScoreAsLse) {
  Problem p;
  p.shape = {1, 1, 1, 1, 1, 2};
  p.scale = 0.5;
  Inputs in;
  in.q = Tensor(Dtype::kF32, {1, 1, 1, 2});
  in.k = Tensor(Dtype::kF32, {1, 1, 1, 2});
  in.v = Tensor(Dtype::kF32, {1, 1, 1, 2});
  const float q[] = {3, 4}, k[] = {2, -1}, v[] = {7, 9};
  for (std::int64_t i = 0; i < 2; ++i) {
    in.q.set(i, q[i]);
    in.k.set(i, k[i]);
    in.v.set(i, v[i]);
  }
  const FlatGradients g = gradients(Definition(p, in));
  EXPECT_EQ(g.o, (Doubles{7, 9}));
  EXPECT_EQ(g.lse, (Doubles{0.5 * (6 - 4)}));
}

TEST(Reference, AnyBlockOfRowsGivesTheSameNumbers) {
  const Problem p = grouped_problem();
  const Inputs in = grouped_inputs(p);
  const Definition def(p, in);
  const FlatGradients g = gradients(def);
  const std::int64_t which[] = {8, 2, 5};
  const RowResults r = compute_rows(
      def, head_directions(def)[static_cast<std::size_t>(p.shape.h_kv + p.shape.kv_head(3))], 1, 3,
      which);
  for (std::size_t n = 0; n < 3; ++n)
    for (std::int64_t c = 0; c < 5; ++c) {
      const std::int64_t at = p.shape.q_dims().index(1, 3, which[n], c);
      EXPECT_NEAR(r.dq.value[n * 5 + static_cast<std::size_t>(c)], g.dq.data()[at], 1e-14);
    }
}

TEST(Reference, ShiftedLogitsDoNotOverflow) {
  Problem p;
  p.shape = {1, 1, 1, 4, 6, 3};
  p.pass = Pass::kBackward;
  p.scale = 1e6;
  const Inputs in = host::random_inputs(p);
  const FlatGradients g = gradients(Definition(p, in));
  for (const Doubles* x : {&g.o, &g.lse, &g.dq, &g.dk, &g.dv})
    for (const double value : *x) EXPECT_TRUE(std::isfinite(value));
}

Problem plain_problem() {
  Problem p;
  p.shape = {1, 2, 1, 8, 11, 6};
  p.pass = Pass::kBackward;
  p.d_o = GradSource::kRandom;
  return p;
}

TEST(Reference, ConstantValuesGiveConstantRowsAndNoScoreGradient) {
  const Problem p = plain_problem();
  Inputs in = host::random_inputs(p);
  for (std::int64_t i = 0; i < in.v.count(); ++i) in.v.set(i, 3);
  const FlatGradients g = gradients(Definition(p, in));
  for (const double o : g.o) EXPECT_NEAR(o, 3, 1e-14);
  for (const double dq : g.dq) EXPECT_NEAR(dq, 0, 1e-13);
  for (const double dk : g.dk) EXPECT_NEAR(dk, 0, 1e-13);
}

TEST(Reference, RowsOfScoreGradientSumToZero) {
  // With every key the same vector k, dQ = scale·(Σⱼ dS)·k.
  const Problem p = plain_problem();
  Inputs in = host::random_inputs(p);
  for (std::int64_t i = 0; i < in.k.count(); ++i) in.k.set(i, in.k.at(i % 6));
  for (const double dq : gradients(Definition(p, in)).dq) EXPECT_NEAR(dq, 0, 1e-14);
}

TEST(Reference, PermutingKeysMovesOnlyTheirGradients) {
  const Problem p = plain_problem();
  const Inputs in = host::random_inputs(p);
  Inputs turned = host::random_inputs(p);
  for (Tensor Inputs::*t : {&Inputs::k, &Inputs::v})
    for (std::int64_t i = 0; i < 66; ++i) (turned.*t).set((i + 18) % 66, (in.*t).at(i));
  const FlatGradients a = gradients(Definition(p, in)), b = gradients(Definition(p, turned));
  for (std::size_t i = 0; i < a.o.size(); ++i) {
    EXPECT_NEAR(a.o[i], b.o[i], 1e-14);
    EXPECT_NEAR(a.dq[i], b.dq[i], 1e-14);
  }
  for (std::size_t i = 0; i < 66; ++i) {
    EXPECT_NEAR(a.dk[i], b.dk[(i + 18) % 66], 1e-14);
    EXPECT_NEAR(a.dv[i], b.dv[(i + 18) % 66], 1e-14);
  }
}

TEST(Dense, AgreesWithTheTripleLoopForRaggedSizes) {
  for (const std::int64_t m : {1, 3, 4, 9})
    for (const std::int64_t n : {1, 2, 7, 8, 24, 61})
      for (const std::int64_t k : {1, 5, 32}) {
        Doubles a, b, c, want;
        for (std::int64_t i = 0; i < m * k; ++i) a.push_back(static_cast<double>(i % 7 - 3));
        for (std::int64_t i = 0; i < k * n; ++i) b.push_back(static_cast<double>(i % 5 - 2));
        for (std::int64_t i = 0; i < m * n; ++i) c.push_back(static_cast<double>(i % 3));
        want = c;
        for (std::int64_t i = 0; i < m; ++i)
          for (std::int64_t j = 0; j < n; ++j)
            for (std::int64_t l = 0; l < k; ++l)
              want.data()[i * n + j] += a.data()[i * k + l] * b.data()[l * n + j];
        multiply_add(m, n, k, a.data(), k, b.data(), n, c.data(), n);
        EXPECT_EQ(c, want) << m << " " << n << " " << k;
      }
}

}  // namespace
}  // namespace flashbench::oracle
