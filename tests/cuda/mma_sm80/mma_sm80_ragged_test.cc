// A ragged batch in one launch of each kernel of mma_sm80, on the emulated device: against the
// oracle, and against its sequences alone.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/batch_element.h"
#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/need.h"
#include "cuda/sequence_lists.h"
#include "tests/attention_case.h"
#include "tests/cuda/emulated_run.h"

namespace flashbench::cuda {
namespace {

using Lengths = std::vector<SequenceLengths>;

// Some tiles and a part of one; one query; as many queries as keys; fewer keys; and such as have
// nothing to be launched for.
const Lengths kMixed = {{5, 0}, {33, 70}, {130, 150}, {1, 90}, {0, 9}, {70, 40}, {1, 90}, {20, 20}};

Problem ragged(const Lengths& lengths, std::int64_t d, Pass pass = Pass::kBoth) {
  Problem p = AttentionCase{"", {1, 4, 2, 1, 1, d}, true}.problem(Dtype::kBf16, pass);
  p.ragged = Ragged::kLengths;
  p.shape.set(Sequences::of(lengths));
  return p;
}

void add_variants(Problem& p) {
  p.softcap = 2;
  p.alibi = Alibi::kStandard;
  p.sinks = Sinks::kRandom;
  p.shape.own_d_v = p.shape.d / 2 + 1;
  p.window_left = 40;
}

/// Slopes differ from sequence to sequence.
Inputs inputs_of(const Problem& p) {
  Inputs in = data::make_inputs(p);
  for (std::size_t i = 0; i < in.alibi_slopes.size(); ++i)
    in.alibi_slopes[i] = 0.01f * static_cast<float>(1 + 5 * i % 17);
  return in;
}

struct Ran {
  Outputs out;
  std::string findings;
  int launches = 0;
};

Ran run(const Problem& p, const Inputs& in, std::uint64_t seed = 1) {
  MutatedDevice device({}, seed);
  Ran ran{data::make_outputs(p), {}, 0};
  ran.out.poison();
  const auto plan = make_plan(device, mma_sm80::kFamily, p, in);
  const Operands io{&in, &ran.out};
  plan->prepare(io);
  plan->launch(io);
  plan->collect(io);
  for (const ptx::Finding& f : device.findings()) ran.findings += f.text() + "\n";
  ran.launches = device.launches();
  return ran;
}

void expect_right(const Problem& p, std::uint64_t seed, const std::string& what) {
  const Inputs in = inputs_of(p);
  const Ran ran = run(p, in, seed);
  EXPECT_EQ(ran.findings, "") << what;
  const Verdict v = oracle::verify(p, in, ran.out, VerifyLevel::kFull);
  EXPECT_TRUE(v.checked() && v.ok()) << what << ": " << describe(v);
}

/// Names the first tensor whose bits differ.
std::string difference(Outputs& a, Outputs& b) {
  const std::pair<const char*, Tensor Outputs::*> tensors[] = {{"o", &Outputs::o},
                                                               {"lse", &Outputs::lse},
                                                               {"dq", &Outputs::dq},
                                                               {"dk", &Outputs::dk},
                                                               {"dv", &Outputs::dv}};
  for (const auto& [name, tensor] : tensors) {
    const Tensor &x = a.*tensor, &y = b.*tensor;
    if (x.bytes() != y.bytes()) return fmt::format("{} has another size", name);
    if (!x.empty() && std::memcmp(x.data(), y.data(), x.bytes()) != 0) return name;
  }
  return "";
}

void expect_bits_of_sequences_alone(const Problem& p) {
  const Inputs in = inputs_of(p);
  Ran batch = run(p, in);
  for (std::int64_t b = 0; b < p.shape.b; ++b) {
    if (p.shape.q_len_of(b) == 0 || p.shape.kv_len_of(b) == 0) continue;
    Ran alone = run(sequence(p, b), batch_element(p, in, b));
    Outputs of_batch = batch_element(batch.out, b);
    EXPECT_EQ(difference(of_batch, alone.out), "") << "sequence " << b;
  }
}

class MmaSm80RaggedTest : public NeedsKernels, public testing::WithParamInterface<int> {};
class MmaSm80Ragged : public NeedsKernels {};

TEST_P(MmaSm80RaggedTest, EverySequenceIsWithinItsNoise) {
  Problem p = ragged(kMixed, GetParam());
  add_variants(p);
  expect_right(p, 2, "variants");
}

// Tiles of a sequence are those that it has alone, in the same order.
TEST_P(MmaSm80RaggedTest, BitsAreThoseOfSequencesAlone) {
  expect_bits_of_sequences_alone(ragged(kMixed, GetParam()));
}

INSTANTIATE_TEST_SUITE_P(HeadDim, MmaSm80RaggedTest, testing::Values(7, 32, 64, 96, 128, 192, 256),
                         [](const auto& d) { return fmt::format("d{}", d.param); });

TEST_F(MmaSm80Ragged, BitsOfVariantsAreThoseOfSequencesAlone) {
  Problem p = ragged(kMixed, 64);
  add_variants(p);
  expect_bits_of_sequences_alone(p);
}

TEST_F(MmaSm80Ragged, BitsAreEqualInEveryOrder) {
  Problem p = ragged(kMixed, 64);
  add_variants(p);
  const Inputs in = inputs_of(p);
  Ran a = run(p, in, 1), b = run(p, in, 2);
  EXPECT_EQ(difference(a.out, b.out), "");
  EXPECT_EQ(std::memcmp(a.out.dsinks.data(), b.out.dsinks.data(), a.out.dsinks.bytes()), 0);
}

// forward, delta, dq, dsinks and dkdv.
TEST_F(MmaSm80Ragged, SequencesAreNotLaunchedOneByOne) {
  Problem p = ragged(Lengths(20, {3, 9}), 32);
  p.sinks = Sinks::kRandom;
  EXPECT_EQ(run(p, inputs_of(p)).launches, 5);
}

TEST_F(MmaSm80Ragged, QueriesWithoutKeysGetZeroAndTheSink) {
  for (const Sinks sinks : {Sinks::kNone, Sinks::kRandom}) {
    Problem p = ragged({{70, 0}, {5, 9}}, 64);
    p.sinks = sinks;
    const Inputs in = inputs_of(p);
    const Ran ran = run(p, in);
    EXPECT_EQ(ran.findings, "");
    for (std::int64_t h = 0; h < p.shape.h; ++h)
      for (const std::int64_t q : {0, 69}) {
        const float lse = sinks == Sinks::kNone ? -std::numeric_limits<float>::infinity()
                                                : in.sinks[static_cast<std::size_t>(h)];
        EXPECT_EQ(static_cast<float>(ran.out.lse.at(ran.out.lse.dims().index(0, h, q, 0))), lse);
        EXPECT_EQ(static_cast<float>(ran.out.o.at(ran.out.o.dims().index(0, h, q, 63))), 0.0f);
        EXPECT_EQ(static_cast<float>(ran.out.dq.at(ran.out.dq.dims().index(0, h, q, 63))), 0.0f);
      }
  }
}

TEST_F(MmaSm80Ragged, KeysWithoutQueriesGetZeroGradients) {
  const Problem p = ragged({{0, 70}, {5, 9}}, 64);
  const Ran ran = run(p, inputs_of(p));
  EXPECT_EQ(ran.findings, "");
  for (const Tensor* t : {&ran.out.dk, &ran.out.dv})
    for (const std::int64_t key : {0, 69})
      EXPECT_EQ(static_cast<float>(t->at(t->dims().index(0, 1, key, 63))), 0.0f);
}

// There is nothing to launch dkdv for.
TEST_F(MmaSm80Ragged, NoSequenceHasBothQueriesAndKeys) {
  expect_right(ragged({{3, 0}, {0, 5}}, 64), 1, "nothing to pair");
}

// Keys that no query of a sequence sees lie before the tiles of its first ones.
TEST_F(MmaSm80Ragged, WindowsLeaveOutKeysBySequence) {
  Problem p = ragged({{20, 200}, {130, 150}, {1, 300}, {90, 30}}, 64);
  p.window_left = 25;
  expect_right(p, 1, "causal");
  p.causal = false;
  p.window_right = 7;
  expect_right(p, 2, "both sides");
}

TEST_F(MmaSm80Ragged, PassesApartAreWithinTheirNoise) {
  for (const Pass pass : {Pass::kForward, Pass::kBackward})
    expect_right(ragged(kMixed, 40, pass), 1, std::string(name(pass)));
}

TEST_F(MmaSm80Ragged, OneSequenceIsEnough) { expect_right(ragged({{70, 90}}, 64), 1, "one"); }

// One set of rows' statistics, and the lists.
TEST(MmaSm80RaggedNeed, WorkspaceIsOneForTheBatch) {
  const Problem p = ragged(Lengths(100, {64, 128}), 64);
  const std::size_t rows = device_need(mma_sm80::kFamily, p, 0, {}).workspace;
  EXPECT_EQ(rows, 3 * 4 * 100 * 64 * sizeof(float) + (100 + 100) * sizeof(SequenceTile));
}

TEST(SequenceTiles, SequencesThatTakeLongestComeFirst) {
  const Problem p = ragged({{9, 40}, {0, 7}, {200, 30}, {7, 0}, {3, 150}}, 64);
  Launch launch;
  launch.q_tile = launch.kv_tile = 64;
  const auto order = [&](ListOf list) {
    launch.list = list;
    std::string text;
    for (const SequenceTile& t : sequence_tiles(p, launch))
      text += fmt::format("{}@{} ", t.b, t.first_tile);
    return text;
  };
  EXPECT_EQ(order(ListOf::kQueryTiles), "4@0 0@1 2@2 2@2 2@2 2@2 3@6 ");
  EXPECT_EQ(order(ListOf::kKeyTiles), "2@0 0@1 4@2 4@2 4@2 ");
  EXPECT_EQ(order(ListOf::kSequences), "4@0 0@1 2@2 3@3 ");
}

TEST(SequenceTiles, KeysThatNobodySeesAreLeftOut) {
  Problem p = ragged({{4, 6}, {10, 100}}, 64);
  p.window_left = 20;
  Launch launch;
  launch.list = ListOf::kSequences;
  const SequenceTile t = sequence_tiles(p, launch).front();
  EXPECT_EQ(t.b, 1);
  EXPECT_EQ(t.kv_rows, 100);
  EXPECT_EQ(t.kv_len, 30);
  EXPECT_EQ(t.diagonal, 20);
  EXPECT_EQ(t.first_row, 4 * 4);
  EXPECT_EQ(t.first_key, 2 * 6 + 70);
}

}  // namespace
}  // namespace flashbench::cuda
