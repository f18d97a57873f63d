// What holds of attention whatever the numbers are, on problems drawn at random: no reference is
// needed, so that a mistake that kernels and oracle share would show.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "core/batch_element.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "paper/paper_kernel.h"
#include "tests/cpu/run.h"

namespace flashbench {
namespace {

constexpr int kProblems = 12;
constexpr double kClose = 2e-5;  // f32, sums of some hundred terms of the size of 1

/// A problem, its tensors, and who computes it.
struct Drawn {
  Problem p;
  Inputs in;
  Execution e;
  std::mt19937_64 random;

  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  }
};

Drawn draw(int seed, Pass pass) {
  Drawn x;
  x.random.seed(static_cast<std::uint64_t>(seed));
  const std::int64_t group = 1 + x.below(3);
  Shape& s = x.p.shape;
  s = {1 + x.below(2), 0, 1 + x.below(2), 1 + x.below(70), 2 + x.below(200), 1 + x.below(72)};
  s.h = s.h_kv * group;
  x.p.pass = pass;
  x.p.causal = x.below(2) == 0;
  x.p.padding = x.below(3) == 0 ? PaddingMask::kRandom : PaddingMask::kNone;
  x.p.d_o = GradSource::kRandom;
  x.p.seed = static_cast<std::uint64_t>(seed);
  x.e.isa = cpu::best_isa(Dtype::kF32);
  x.e.threads = 1 + static_cast<int>(x.below(2));
  return x;
}

double error(const Tensor& got, const Tensor& want, double factor = 1) {
  double most = 0;
  for (std::int64_t i = 0; i < want.count(); ++i) {
    if (std::isinf(want.at(i)) && got.at(i) == want.at(i)) continue;
    const double off =
        std::abs(got.at(i) - factor * want.at(i)) / (1 + std::abs(factor * want.at(i)));
    most = std::isnan(off) ? INFINITY : std::max(most, off);
  }
  return most;
}

template <typename Change>
void change_rows(Tensor& t, Change change) {
  for (std::int64_t b = 0; b < t.dims().b; ++b)
    for (std::int64_t h = 0; h < t.dims().h; ++h)
      for (std::int64_t r = 0; r < t.dims().rows_of(b); ++r)
        for (std::int64_t d = 0; d < t.dims().d; ++d)
          t.set(t.dims().index(b, h, r, d), change(b, h, r, d));
}

/// The rows [begin, begin + rows) of every head.
Tensor rows_of(const Tensor& t, std::int64_t begin, std::int64_t rows) {
  Tensor part(t.dtype(), {t.dims().b, t.dims().h, rows, t.dims().d});
  change_rows(part, [&](auto b, auto h, auto r, auto d) { return t.at(b, h, begin + r, d); });
  return part;
}
Tensor element_of(const Tensor& t, std::int64_t b) {
  Tensor part(t.dtype(), {1, t.dims().h, t.dims().rows, t.dims().d});
  change_rows(part, [&](auto, auto h, auto r, auto d) { return t.at(b, h, r, d); });
  return part;
}

class Attention : public testing::TestWithParam<const Kernel*> {
 protected:
  /// Calls property(drawn) for every problem that the kernel takes.
  template <typename Property>
  void for_all(Pass pass, Property property) {
    int taken = 0;
    for (int seed = 0; seed < kProblems; ++seed) {
      Drawn x = draw(seed, pass);
      if (GetParam()->refuses(x.p, x.e)) continue;
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", causal " << x.p.causal);
      ++taken;
      x.in = data::make_inputs(x.p);
      property(x);
      if (HasFailure()) return;
    }
    EXPECT_GT(taken, 0);
  }
  static Outputs run(const Problem& p, const Execution& e, const Inputs& in) {
    return cpu::run(*GetParam(), p, e, in);
  }
  static Outputs run(const Drawn& x) { return run(x.p, x.e, x.in); }
};

TEST_P(Attention, OfConstantValuesIsThatConstant) {
  for_all(Pass::kForward, [](Drawn& x) {
    change_rows(x.in.v, [](auto, auto, auto, auto d) { return 0.25f * static_cast<float>(d % 7); });
    const Outputs out = run(x);
    for (std::int64_t i = 0; i < out.o.count(); ++i) {
      const std::int64_t d = i % out.o.dims().d;
      const bool sees = !std::isinf(out.lse.at(i / out.o.dims().d));
      EXPECT_NEAR(out.o.at(i), sees ? 0.25 * static_cast<double>(d % 7) : 0, kClose);
    }
  });
}

TEST_P(Attention, IsBlindToTheOrderOfKeys) {
  for_all(Pass::kForward, [](Drawn& x) {
    x.p.causal = false;
    const Outputs before = run(x);
    std::vector<std::int64_t> from(static_cast<std::size_t>(x.p.shape.kv_len));
    std::iota(from.begin(), from.end(), 0);
    std::shuffle(from.begin(), from.end(), x.random);
    for (Tensor* t : {&x.in.k, &x.in.v}) {
      const Tensor old = rows_of(*t, 0, x.p.shape.kv_len);
      change_rows(*t, [&](auto b, auto h, auto r, auto d) {
        return old.at(b, h, from[static_cast<std::size_t>(r)], d);
      });
    }
    const std::vector<std::uint8_t> mask = x.in.key_mask;
    for (std::size_t i = 0; i < mask.size(); ++i)
      x.in.key_mask[i] =
          mask[i / from.size() * from.size() + static_cast<std::size_t>(from[i % from.size()])];
    const Outputs after = run(x);
    EXPECT_LT(error(after.o, before.o), kClose);
    EXPECT_LT(error(after.lse, before.lse), kClose);
  });
}

TEST_P(Attention, IsLinearInTheValues) {
  for_all(Pass::kForward, [](Drawn& x) {
    const Outputs before = run(x);
    for (std::int64_t i = 0; i < x.in.v.count(); ++i) x.in.v.set(i, -4 * x.in.v.at(i));
    EXPECT_LT(error(run(x).o, before.o, -4), 1e-7);
  });
}

TEST_P(Attention, OfABatchIsThatOfItsElements) {
  for_all(Pass::kForward, [](Drawn& x) {
    const Outputs whole = run(x);
    Problem one = x.p;
    one.shape.b = 1;
    const auto kv_len = static_cast<long>(x.p.shape.kv_len);
    for (std::int64_t b = 0; b < x.p.shape.b; ++b) {
      Inputs in;
      in.q = element_of(x.in.q, b), in.k = element_of(x.in.k, b), in.v = element_of(x.in.v, b);
      if (!x.in.key_mask.empty())
        in.key_mask = {x.in.key_mask.begin() + b * kv_len,
                       x.in.key_mask.begin() + (b + 1) * kv_len};
      const Outputs out = run(one, x.e, in);
      EXPECT_LT(error(out.o, element_of(whole.o, b)), kClose);
      EXPECT_LT(error(out.lse, element_of(whole.lse, b)), kClose);
    }
  });
}

/// K + c adds q·c to all scores of a row.
TEST_P(Attention, IsBlindToWhatAllKeysShare) {
  for_all(Pass::kForward, [](Drawn& x) {
    const Outputs before = run(x);
    const auto shift = [](std::int64_t d) { return 0.5f * static_cast<float>(d % 3 - 1); };
    const Tensor k = rows_of(x.in.k, 0, x.p.shape.kv_len);
    change_rows(x.in.k,
                [&](auto b, auto h, auto r, auto d) { return k.at(b, h, r, d) + shift(d); });
    const Outputs after = run(x);
    EXPECT_LT(error(after.o, before.o), 10 * kClose);
    Tensor lse = rows_of(before.lse, 0, x.p.shape.q_len);
    change_rows(lse, [&](auto b, auto h, auto r, auto) {
      double product = 0;
      for (std::int64_t d = 0; d < x.p.shape.d; ++d) product += x.in.q.at(b, h, r, d) * shift(d);
      return static_cast<float>(before.lse.at(b, h, r, 0) + x.p.softmax_scale() * product);
    });
    EXPECT_LT(error(after.lse, lse), 10 * kClose);
  });
}

/// The rows of dS sum to zero, hence so does dK = scale·dSᵀQ over the keys; and dQ = scale·dS·K is
/// blind to what all keys share.
TEST_P(Attention, TakesNoGradientFromWhatAllKeysShare) {
  for_all(Pass::kBoth, [](Drawn& x) {
    const Outputs out = run(x);
    for (std::int64_t b = 0; b < x.p.shape.b; ++b)
      for (std::int64_t h = 0; h < x.p.shape.h_kv; ++h)
        for (std::int64_t d = 0; d < x.p.shape.d; ++d) {
          double sum = 0, size = 1;
          for (std::int64_t k = 0; k < x.p.shape.kv_len; ++k) {
            sum += out.dk.at(b, h, k, d);
            size += std::abs(out.dk.at(b, h, k, d));
          }
          EXPECT_NEAR(sum / size, 0, kClose);
        }
  });
}

TEST_P(Attention, OfARaggedBatchIsThatOfItsSequences) {
  for_all(Pass::kForward, [](Drawn& x) {
    std::vector<SequenceLengths> lengths;
    for (std::int64_t n = 2 + x.below(4); n > 0; --n) lengths.push_back({x.below(50), x.below(90)});
    lengths.push_back({3, 5});
    x.p.padding = PaddingMask::kNone;
    x.p.ragged = Ragged::kLengths;
    x.p.shape.set(Sequences::of(lengths));
    ASSERT_FALSE(GetParam()->refuses(x.p, x.e)) << "all of these take ragged batches";
    x.in = data::make_inputs(x.p);
    Outputs whole = run(x);
    for (std::int64_t b = 0; b < x.p.shape.b; ++b) {
      if (x.p.shape.q_len_of(b) == 0 || x.p.shape.kv_len_of(b) == 0) continue;
      const Outputs one = run(sequence(x.p, b), x.e, batch_element(x.p, x.in, b));
      const Outputs part = batch_element(whole, b);
      EXPECT_LT(error(part.o, one.o), kClose);
      EXPECT_LT(error(part.lse, one.lse), kClose);
    }
  });
}

/// O = Σ exp(LSEᵢ - LSE)·Oᵢ over parts of the keys: what split-K decoding and ring attention do.
TEST_P(Attention, OfAllKeysIsThatOfTheirPartsMerged) {
  for_all(Pass::kForward, [](Drawn& x) {
    x.p.causal = false;
    x.p.padding = PaddingMask::kNone;
    x.in.key_mask.clear();
    const Outputs whole = run(x);
    const std::int64_t kv_len = x.p.shape.kv_len, cut = 1 + x.below(kv_len - 1);
    std::vector<Outputs> parts;
    for (const auto& [begin, keys] : {std::pair(std::int64_t{0}, cut), {cut, kv_len - cut}}) {
      Problem p = x.p;
      p.shape.kv_len = keys;
      Inputs in;
      in.q = rows_of(x.in.q, 0, p.shape.q_len);
      in.k = rows_of(x.in.k, begin, keys), in.v = rows_of(x.in.v, begin, keys);
      parts.push_back(run(p, x.e, in));
    }
    Tensor merged = rows_of(whole.o, 0, x.p.shape.q_len);
    change_rows(merged, [&](auto b, auto h, auto r, auto d) {
      double sum = 0;
      for (const Outputs& part : parts)
        sum += std::exp(part.lse.at(b, h, r, 0) - whole.lse.at(b, h, r, 0)) * part.o.at(b, h, r, d);
      return static_cast<float>(sum);
    });
    EXPECT_LT(error(merged, whole.o), kClose);
  });
}

std::vector<const Kernel*> all_kernels() {
  std::vector<const Kernel*> all = cpu::kernels();
  all.push_back(&paper::paper_kernel());
  return all;
}

INSTANTIATE_TEST_SUITE_P(Of, Attention, testing::ValuesIn(all_kernels()),
                         [](const auto& of) { return of.param->info().name; });

}  // namespace
}  // namespace flashbench
