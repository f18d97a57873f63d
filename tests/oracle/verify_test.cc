#include "oracle/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <optional>
#include <string>

#include "system/error.h"
#include "tests/oracle/flavours.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

namespace flashbench::oracle {
namespace {

using host::Defect;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

struct CorrectCase {
  const char* name;
  Shape shape;
  bool causal;
  double keep;  ///< 1: no padding mask
  std::optional<std::int64_t> window_left = {}, window_right = {};
};

// Each row is a shape that some judge would get wrong.
constexpr CorrectCase kCorrect[] = {
    {"plain", {1, 2, 2, 64, 64, 32}, false, 1},
    {"causal", {1, 2, 2, 96, 96, 32}, true, 1},
    {"one_query_decode", {2, 2, 1, 1, 129, 64}, true, 1},
    {"one_of_everything", {1, 1, 1, 1, 1, 1}, false, 1},
    {"grouped_heads", {2, 6, 2, 40, 70, 24}, true, 1},
    {"more_queries_than_keys", {1, 2, 2, 30, 7, 16}, true, 1},
    {"padded", {2, 2, 1, 50, 61, 20}, false, 0.5},
    {"padded_causal", {2, 2, 2, 61, 61, 8}, true, 0.3},
    {"all_padded", {1, 1, 1, 5, 9, 8}, false, 0},
    {"tall_head", {1, 1, 1, 33, 40, 300}, false, 1},
    {"head_dim_1", {1, 2, 2, 64, 64, 1}, true, 1},
    {"window", {1, 2, 1, 96, 96, 32}, true, 1, 20},
    {"window_on_both_sides", {1, 2, 2, 61, 90, 24}, false, 0.7, 9, 15},
    {"window_of_few_of_many_keys", {1, 4, 2, 20, 700, 16}, true, 1, 30},
    {"window_beyond_all", {1, 1, 1, 40, 30, 16}, false, 1, 500, 500},
};

class CorrectKernel : public testing::TestWithParam<CorrectCase> {};

TEST_P(CorrectKernel, PassesAtBothLevelsInEveryDtypeWithLogitsUpTo30) {
  const CorrectCase& c = GetParam();
  for (const Dtype dtype : kDtypes)
    for (const float logits : {1.0f, 30.0f})
      for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
        Problem p = problem(c.shape, dtype, c.causal);
        p.padding = c.keep < 1 ? PaddingMask::kRandom : PaddingMask::kNone;
        p.mask_keep = c.keep;
        p.window_left = c.window_left, p.window_right = c.window_right;
        const Inputs in = host::random_inputs(p, logits);
        const Verdict v = verify(p, in, host::attention(p, in), level);
        EXPECT_EQ(v.level, level);
        EXPECT_EQ(v.tensors.size(), level == VerifyLevel::kFull ? 5u : 9u);
        EXPECT_TRUE(v.ok()) << name(dtype) << " x" << logits << " " << name(level) << "\n"
                            << describe(v);
      }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CorrectKernel, testing::ValuesIn(kCorrect),
                         [](const auto& param) { return std::string(param.param.name); });

TEST(Verify, CorrectResultsPassOnAllKindsOfInputs) {
  for (const host::Flavour& flavour : host::kFlavours)
    for (const Dtype dtype : kDtypes)
      for (const bool causal : {false, true}) {
        Problem p = problem({1, 2, 1, 60, 70, 24}, dtype, causal);
        p.d_o = flavour.d_o;
        Inputs in = host::random_inputs(p);
        flavour.change(in);
        const Outputs out = host::attention(p, in);
        for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample})
          for (const TensorVerdict& t : verify(p, in, out, level).tensors)
            EXPECT_LE(t.error_over_noise, 0.75 * t.limit)
                << flavour.name << " " << name(dtype) << " " << t.tensor << " " << name(t.scope)
                << " " << name(level) << (causal ? " causal" : "");
      }
}

/// O and LSE of one query that sees every key, in fp64, with the score of key 0 off by `error`.
Outputs off_by(const Problem& p, const Inputs& in, double error) {
  const Shape& s = p.shape;
  std::vector<double> weight, o(static_cast<std::size_t>(s.d));
  double sum = 0;
  for (std::int64_t j = 0; j < s.kv_len; ++j) {
    double score = 0;
    for (std::int64_t c = 0; c < s.d; ++c)
      score += static_cast<double>(in.q.at(c)) * static_cast<double>(in.k.at(j * s.d + c));
    weight.push_back(std::exp(score * p.softmax_scale() + (j == 0 ? error : 0)));
    sum += weight.back();
    for (std::int64_t c = 0; c < s.d; ++c)
      o[static_cast<std::size_t>(c)] += weight.back() * static_cast<double>(in.v.at(j * s.d + c));
  }
  Outputs out = host::empty_outputs(p);
  for (std::int64_t c = 0; c < s.d; ++c)
    out.o.set(c, static_cast<float>(o[static_cast<std::size_t>(c)] / sum));
  out.lse.set(0, static_cast<float>(std::log(sum)));
  return out;
}

TEST(Verify, AnErrorOfOneScoreMovesOFromTheMeanNotFromZero) {
  // Key 0 takes half of the sum. Where its V is 0 and O is not, its rounding moves O all the same.
  const Problem p = problem({1, 1, 1, 1, 21, 40}, Dtype::kF32, false, Pass::kForward);
  Inputs in = host::random_inputs(p);
  for (std::int64_t c = 0; c < 40; ++c)
    for (std::int64_t j = 0; j < 21; ++j) {
      const float q = in.q.at(c), random = in.k.at(j * 40 + c);
      in.k.set(j * 40 + c, j == 0 ? 5 * q : 4.5f * q + 0.05f * random);
      in.v.set(j * 40 + c, j == 0 ? 0.0f : 1.0f);
    }
  const double kLikely = 150 * 0x1p-24, kUnlikely = 10 * kLikely;  // two deviations of that score
  const Reference reference(p, in, VerifyLevel::kFull);
  const Verdict likely = reference.verify(off_by(p, in, kLikely));
  EXPECT_LE(of(likely, "o").error_over_noise, 1) << describe(likely);
  const Verdict unlikely = reference.verify(off_by(p, in, kUnlikely));
  EXPECT_FALSE(of(unlikely, "o").ok) << describe(unlikely);
}

TEST(Verify, ALargeChannelBuysNoToleranceForTheOthers) {
  for (const Dtype dtype : kDtypes)
    for (Tensor Inputs::*large : {&Inputs::v, &Inputs::k, &Inputs::q, &Inputs::d_o}) {
      const Problem p = problem({1, 2, 1, 60, 70, 24}, dtype);
      Inputs in = host::random_inputs(p);
      host::enlarge_channel(in.*large, host::factor(in.*large, 300));
      for (const host::Defect defect : {Defect::kOneChannel, Defect::kChannelsSwapped}) {
        const Verdict v = verify(p, in, host::attention(p, in, defect), VerifyLevel::kFull);
        for (const char* tensor : {"o", "dq", "dk", "dv"})
          EXPECT_FALSE(of(v, tensor).ok) << name(dtype) << " " << tensor;
        EXPECT_NE(of(v, "o").index[3], 0);  // the only channel that is right
      }
    }
}

TEST(Verify, AChannelThatIsOffByLittleFails) {
  // 1 % is 2.6 units of the last place of bf16.
  const Problem p = problem({1, 2, 2, 200, 180, 16}, Dtype::kBf16);
  const Inputs in = host::random_inputs(p);
  Outputs out = host::attention(p, in);
  for (Tensor* t : {&out.o, &out.dq, &out.dk, &out.dv})
    for (std::int64_t i = 8; i < t->count(); i += 16) t->set(i, t->at(i) * 1.01f);
  const Verdict v = verify(p, in, out, VerifyLevel::kFull);
  for (const char* tensor : {"o", "dq", "dk", "dv"}) {
    EXPECT_FALSE(of(v, tensor).ok) << tensor;
    EXPECT_EQ(of(v, tensor).index[3], 8) << tensor;
  }
}

/// A change of one output of a correct result.
struct Corruption {
  const char* name;
  const char* tensor;
  std::function<void(Outputs&)> apply;
  bool sampled;  ///< level sample must see it too
};

void add(Tensor& t, std::int64_t i, float delta) { t.set(i, t.at(i) + delta); }

std::vector<Corruption> corruptions() {
  return {
      {"one_element_of_o", "o", [](Outputs& x) { add(x.o, 40 * 16 + 3, 0.05f); }, false},
      {"one_element_of_lse", "lse", [](Outputs& x) { add(x.lse, 40, 1e-3f); }, false},
      {"one_element_of_dq", "dq", [](Outputs& x) { add(x.dq, 40 * 16 + 3, 0.05f); }, false},
      {"one_element_of_dk", "dk", [](Outputs& x) { add(x.dk, 40 * 16 + 3, 0.05f); }, false},
      {"one_element_of_dv", "dv", [](Outputs& x) { add(x.dv, 40 * 16 + 3, 0.05f); }, false},
      {"last_row_of_o", "o", [](Outputs& x) { add(x.o, x.o.count() - 1, 0.05f); }, true},
      {"first_row_of_dq", "dq", [](Outputs& x) { add(x.dq, 0, 0.05f); }, true},
      {"last_key_of_dk", "dk", [](Outputs& x) { add(x.dk, x.dk.count() - 1, 0.05f); }, true},
      {"first_key_of_dv", "dv", [](Outputs& x) { add(x.dv, 0, 0.05f); }, true},
      {"nan_in_o", "o", [](Outputs& x) { x.o.set(40 * 16 + 3, kNan); }, true},
      {"nan_in_lse", "lse", [](Outputs& x) { x.lse.set(40, kNan); }, true},
      {"inf_in_dq", "dq", [](Outputs& x) { x.dq.set(40 * 16 + 3, kInf); }, true},
      {"nan_in_dk", "dk", [](Outputs& x) { x.dk.set(40 * 16 + 3, kNan); }, true},
      {"nan_in_dv", "dv", [](Outputs& x) { x.dv.set(40 * 16 + 3, kNan); }, true},
      {"lse_minus_inf", "lse", [](Outputs& x) { x.lse.set(40, -kInf); }, true},
      {"unwritten_o", "o", [](Outputs& x) { x.o.poison(); }, true},
      {"unwritten_dk", "dk", [](Outputs& x) { x.dk.poison(); }, true},
  };
}

TEST(Verify, CatchesEachCorruptedElement) {
  const Problem p = problem({1, 2, 2, 200, 180, 16});
  const Inputs in = host::random_inputs(p);
  const Reference full(p, in, VerifyLevel::kFull), sample(p, in, VerifyLevel::kSample);
  for (const Corruption& c : corruptions()) {
    Outputs out = host::attention(p, in);
    c.apply(out);
    const Verdict v = full.verify(out);
    EXPECT_FALSE(v.ok()) << c.name;
    EXPECT_FALSE(of(v, c.tensor).ok) << c.name << "\n" << describe(v);
    if (c.sampled) {
      EXPECT_FALSE(of(sample.verify(out), c.tensor).ok) << c.name << " sampled";
    }
  }
  EXPECT_TRUE(full.verify(host::attention(p, in)).ok());
}

TEST(Verify, NamesTheWorstElementAndWhatItShouldBe) {
  const Problem p = problem({2, 2, 2, 20, 20, 16});
  const Inputs in = host::random_inputs(p);
  Outputs out = host::attention(p, in);
  const std::int64_t at = out.dq.dims().index(1, 0, 7, 5);
  const double want = static_cast<double>(out.dq.at(at));
  add(out.dq, at, 1.0f);
  const TensorVerdict t = of(verify(p, in, out, VerifyLevel::kFull), "dq");
  EXPECT_THAT(t.index, testing::ElementsAre(1, 0, 7, 5));
  EXPECT_NEAR(t.want, want, 1e-5);
  EXPECT_NEAR(t.got, want + 1, 1e-5);
  EXPECT_GT(t.error_over_noise, t.limit);
}

// Kernels that exponentiate by powers of 2 often give their log as well.
TEST(Verify, TellsLseInBase2FromOneThatIsWrongOtherwise) {
  Problem p = problem({2, 2, 2, 20, 16, 16});
  p.causal = true;  // the first rows see nothing
  const Inputs in = host::random_inputs(p);
  const auto judged = [&](const Outputs& out) {
    return of(verify(p, in, out, VerifyLevel::kFull), "lse");
  };
  Outputs out = host::attention(p, in);
  EXPECT_FALSE(judged(out).in_base_2);
  auto* lse = out.lse.as<float>();
  const float first = lse[19];
  for (std::int64_t i = 0; i < out.lse.count(); ++i) lse[i] /= std::numbers::ln2_v<float>;
  EXPECT_TRUE(judged(out).in_base_2);
  EXPECT_FALSE(judged(out).ok);
  lse[19] = first + 1;
  EXPECT_FALSE(judged(out).in_base_2) << "one row is otherwise";
}

TEST(Verify, CatchesEachDefectInEveryDtypeAtBothLevels) {
  for (const Dtype dtype : kDtypes) {
    const Problem p = problem({1, 2, 2, 128, 128, 32}, dtype, true);
    const Inputs in = host::random_inputs(p, 2);
    for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
      const Reference reference(p, in, level);
      for (const Defect defect : host::kDefects) {
        if (!host::applies(defect, dtype)) continue;
        // Row 64 of 128 is not among the rows that must be sampled.
        if (defect == Defect::kRowUnnormalised && level == VerifyLevel::kSample) continue;
        const bool right = defect == Defect::kNone || defect == Defect::kDoubleRounding;
        const Verdict v = reference.verify(host::attention(p, in, defect));
        EXPECT_EQ(v.ok(), right) << host::name(defect) << " " << name(dtype) << " " << name(level)
                                 << "\n"
                                 << describe(v);
      }
    }
  }
}

TEST(Verify, SampledIdentitySeesAKeyTileThatNoSampleTouches) {
  // 1024 keys, 33 of them looked at: zeroing a run of 64 between them must not pass.
  expect_sample_sees_zeroed_keys(problem({1, 1, 1, 64, 1024, 16}), 600, 664);
}

TEST(Verify, SampleSeesAnElementOutsideTheValuesThatNoSampledRowTouches) {
  const Problem p = problem({1, 2, 2, 2000, 50, 16});
  const Inputs in = host::random_inputs(p);
  Outputs out = host::attention(p, in);
  const Reference reference(p, in, VerifyLevel::kSample);
  EXPECT_EQ(of(reference.verify(out), "O within V").error_over_noise, 0);
  const std::int64_t at = out.o.dims().index(0, 1, 1234, 5);
  out.o.set(at, 9);
  const TensorVerdict t = of(reference.verify(out), "O within V");
  EXPECT_FALSE(t.ok);
  EXPECT_THAT(t.index, testing::ElementsAre(0, 1, 1234, 5));
}

TEST(Verify, ExactWhereNothingIsVisible) {
  Problem p = problem({1, 1, 1, 9, 4, 8}, Dtype::kF32, true);  // rows 0 to 4 see nothing
  p.padding = PaddingMask::kFile;
  Inputs in = host::random_inputs(p);
  in.key_mask = {1, 0, 1, 1};
  const Outputs good = host::attention(p, in);
  for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
    const Reference reference(p, in, level);
    EXPECT_TRUE(reference.verify(good).ok()) << describe(reference.verify(good));
    const auto fails = [&](const char* tensor, auto change) {
      Outputs out = host::attention(p, in);
      change(out);
      EXPECT_FALSE(of(reference.verify(out), tensor).ok) << tensor << " " << name(level);
    };
    fails("o", [](Outputs& x) { x.o.set(3 * 8, 1e-30f); });
    fails("dq", [](Outputs& x) { x.dq.set(3 * 8, 1e-30f); });
    fails("lse", [](Outputs& x) { x.lse.set(3, -1e30f); });
    fails("dk", [](Outputs& x) { x.dk.set(1 * 8, 1e-30f); });
    fails("dv", [](Outputs& x) { x.dv.set(1 * 8, 1e-30f); });
  }
}

TEST(Verify, NanInAMaskedOutKeyChangesNothing) {
  Problem p = problem({1, 2, 1, 20, 12, 8}, Dtype::kBf16, true);
  p.padding = PaddingMask::kRandom;
  Inputs in = host::random_inputs(p);
  const Outputs out = host::attention(p, in);
  for (std::int64_t j = 0; j < 12; ++j)
    if (in.key_mask[static_cast<std::size_t>(j)] == 0)
      for (std::int64_t c = 0; c < 8; ++c) {
        in.k.set(j * 8 + c, kNan);
        in.v.set(j * 8 + c, kInf);
      }
  for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample})
    EXPECT_TRUE(verify(p, in, out, level).ok()) << describe(verify(p, in, out, level));
}

TEST(Verify, JudgesOnlyWhatIsThereButNeverNothing) {
  const Problem p = problem({1, 2, 2, 20, 20, 8});
  const Inputs in = host::random_inputs(p);
  for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample}) {
    const Reference reference(p, in, level);
    Outputs only_o, only_dv;
    only_o.o = std::move(host::attention(p, in).o);
    only_dv.dv = std::move(host::attention(p, in).dv);
    EXPECT_EQ(reference.verify(only_o).tensors.size(), level == VerifyLevel::kFull ? 1u : 2u);
    EXPECT_TRUE(reference.verify(only_o).ok());
    // Sampling dV starts from o and lse: without them everything is computed.
    EXPECT_EQ(reference.verify(only_dv).level, VerifyLevel::kFull);
    EXPECT_TRUE(reference.verify(only_dv).ok());
    add(only_o.o, 0, 1);
    add(only_dv.dv, 0, 1);
    EXPECT_FALSE(reference.verify(only_o).ok());
    EXPECT_FALSE(reference.verify(only_dv).ok());
    EXPECT_THROW((void)reference.verify(Outputs{}), UsageError);
  }
}

TEST(Verify, RefusesAShapeThatIsNotTheProblems) {
  const Problem p = problem({1, 2, 2, 20, 20, 8});
  const Inputs in = host::random_inputs(p);
  Outputs out = host::attention(p, in);
  out.o = Tensor(Dtype::kF32, {1, 2, 20, 4});
  EXPECT_THROW((void)verify(p, in, out, VerifyLevel::kFull), UsageError);
}

TEST(Verify, GradientsWithoutDoAreAUsageError) {
  const Problem p = problem({1, 2, 2, 20, 20, 8});
  Inputs in = host::random_inputs(p);
  const Outputs out = host::attention(p, in);
  in.d_o = Tensor();
  EXPECT_THROW((void)verify(p, in, out, VerifyLevel::kFull), UsageError);
}

TEST(ChooseLevel, FullForSmallAndSampleForLargeProblems) {
  const Problem small = problem({1, 2, 2, 256, 256, 64});
  const Problem large = problem({1, 2, 2, 65536, 65536, 512});
  EXPECT_EQ(choose_level(VerifyMode::kAuto, small), VerifyLevel::kFull);
  EXPECT_EQ(choose_level(VerifyMode::kAuto, large), VerifyLevel::kSample);
  EXPECT_EQ(choose_level(VerifyMode::kFull, large), VerifyLevel::kFull);
  EXPECT_EQ(choose_level(VerifyMode::kSample, small), VerifyLevel::kSample);
  EXPECT_EQ(choose_level(VerifyMode::kNone, small), VerifyLevel::kNone);
  const Inputs in = host::random_inputs(small);
  EXPECT_FALSE(verify(small, in, Outputs{}, VerifyLevel::kNone).checked());
}

}  // namespace
}  // namespace flashbench::oracle
