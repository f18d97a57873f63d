#include "distributed/executor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/distributed/planted_parts.h"
#include "tests/distributed/ranks_case.h"

namespace flashbench::distributed {
namespace {

constexpr auto kRing = Method::kRing;
constexpr auto kContiguous = SequenceLayout::kContiguous;
constexpr auto kZigzag = SequenceLayout::kZigzag;
constexpr auto kStriped = SequenceLayout::kStriped;

void expect_right(const Problem& p, const std::vector<Arrangement>& arrangements,
                  const std::string& what, const Link& link = {}) {
  const Inputs in = data::make_inputs(p);
  const oracle::Reference reference(p, in, VerifyLevel::kFull);
  for (const Arrangement& of : arrangements) {
    const Verdict v = reference.verify(run_ranks(p, in, of, {}, link));
    EXPECT_TRUE(v.checked() && v.ok())
        << what << ", " << name(of.method) << " of " << of.ranks << ", ulysses " << of.ulysses
        << ", window " << of.window << ", " << name(of.layout) << ": " << described(v);
  }
}

/// Every method that takes that many ranks, in every layout.
std::vector<Arrangement> every(int ranks) {
  std::vector<Arrangement> all;
  for (const SequenceLayout layout : kEnumerators<SequenceLayout>) {
    all.push_back({kRing, ranks, 1, 0, layout});
    all.push_back({Method::kAllGather, ranks, 1, 0, layout});
    if (ranks == 2) all.push_back({Method::kUlysses, ranks, 1, 0, layout});
    if (ranks % 2 == 0) all.push_back({kRing, ranks, 2, 0, layout});
    if (ranks % 2 == 0) all.push_back({Method::kAllGather, ranks, 2, 0, layout});
    if (ranks % 2 == 0) all.push_back({kRing, ranks, 1, 2, layout});
    if (ranks == 8) all.push_back({kRing, ranks, 2, 2, layout});
  }
  return all;
}

struct Case {
  const char* name;
  Problem problem;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](const char* name, Problem p, const auto& change) {
    change(p);
    all.push_back({name, p});
  };
  const auto causal = [](Problem& p) { p.causal = true; };
  const auto padded = [](double keep) {
    return [keep](Problem& p) {
      p.padding = PaddingMask::kRandom;
      p.mask_keep = keep;
    };
  };
  add("odd_length", small(37, 37), [](Problem&) {});
  add("odd_length_causal", small(37, 37), causal);
  add("more_keys_than_queries", small(19, 50), causal);
  add("more_queries_than_keys", small(50, 19), causal);
  add("ranks_without_rows", small(3, 3), causal);
  add("one_query", small(1, 40), causal);
  add("one_key", small(40, 1), [](Problem&) {});
  add("half_of_the_keys", small(40, 41), padded(0.5));
  add("few_keys_kept", small(40, 41), padded(0.05));
  add("no_key_kept", small(20, 20), padded(0));
  add("padded_and_causal", small(41, 41), [&](Problem& p) {
    padded(0.3)(p);
    p.causal = true;
  });
  add("large_scores", small(33, 33), [](Problem& p) {
    p.scale = 30;
    p.causal = true;
  });
  add("one_head_of_keys_for_each", small(29, 29), [](Problem& p) { p.shape.h_kv = 4; });
  add("window", small(40, 45), [](Problem& p) {
    p.window_left = 7;
    p.window_right = 2;
  });
  add("softcap_and_value_dim", small(33, 33), [](Problem& p) {
    p.softcap = 2;
    p.shape.own_d_v = 24;
    p.causal = true;
  });
  add("bf16", small(70, 70, Dtype::kBf16), causal);
  return all;
}

TEST(Executor, SomeProblemIsWrongOverRanks) {
  for (const Case& c : cases())
    for (const int ranks : {1, 2, 3, 5}) expect_right(c.problem, every(ranks), c.name);
}

TEST(Executor, MoreRanksAreWrong) {
  for (const Case& c : cases())
    for (const int ranks : {4, 8}) expect_right(c.problem, {{kRing, ranks, 2, 0, kZigzag}}, c.name);
  Problem p = small(67, 67, Dtype::kBf16);
  p.causal = true;
  for (const int ranks : {4, 8}) expect_right(p, every(ranks), "bf16");
}

TEST(Executor, DistancesFromQueryToKeyAreThoseOfAChunk) {
  Problem p = small(37, 45);
  p.alibi = Alibi::kStandard;
  for (const bool causal : {false, true}) {
    p.causal = causal;
    for (const int ranks : {1, 2, 3, 4})
      for (const SequenceLayout layout : {kContiguous, kZigzag})
        expect_right(p, {{kRing, ranks, 1, 0, layout}, {Method::kAllGather, ranks, 1, 0, layout}},
                     "alibi");
  }
  expect_right(p, {{kRing, 4, 2, 0, kZigzag}, {Method::kUlysses, 2}}, "alibi of a part of heads");
}

TEST(Executor, PassesAloneAreNotThoseOfBoth) {
  Problem p = small(37, 37);
  p.causal = true;
  const Inputs in = data::make_inputs(p);
  const Outputs both = run_ranks(p, in, {kRing, 3, 1, 0, kZigzag});
  p.pass = Pass::kForward;
  const Outputs forward = run_ranks(p, in, {kRing, 3, 1, 0, kZigzag});
  const oracle::Reference reference(p, in, VerifyLevel::kFull);
  EXPECT_TRUE(reference.verify(forward).ok());
  for (const auto tensor : {&Outputs::o, &Outputs::lse})
    EXPECT_EQ(std::memcmp((forward.*tensor).data(), (both.*tensor).data(), (both.*tensor).bytes()),
              0);
}

void expect_same_bits(const Outputs& x, const Outputs& y, const std::string& what) {
  for (const auto& [name, a, b] : {std::tuple{"o", &x.o, &y.o}, std::tuple{"lse", &x.lse, &y.lse},
                                   std::tuple{"dq", &x.dq, &y.dq}, std::tuple{"dk", &x.dk, &y.dk},
                                   std::tuple{"dv", &x.dv, &y.dv}})
    EXPECT_EQ(std::memcmp(a->data(), b->data(), a->bytes()), 0) << what << ": " << name;
}

TEST(Executor, DelaysChangeBits) {
  Problem p = small(45, 45);
  p.causal = true;
  const Inputs in = data::make_inputs(p);
  for (const Arrangement& of :
       {Arrangement{kRing, 4, 1, 0, kZigzag}, Arrangement{kRing, 4, 1, 2, kStriped},
        Arrangement{kRing, 4, 2, 0, kContiguous},
        Arrangement{Method::kAllGather, 3, 1, 0, kZigzag}}) {
    const Outputs first = run_ranks(p, in, of);
    for (std::uint64_t seed = 1; seed <= 5; ++seed)
      expect_same_bits(first, run_ranks(p, in, of, {}, {.most_delay_s = 5e-4, .seed = seed}),
                       std::string(name(of.method)));
  }
}

TEST(Executor, ErrorsOf16BitsGrowWithTheRanks) {
  Problem p = small(512, 512, Dtype::kBf16);
  p.shape = {.b = 1, .h = 2, .h_kv = 2, .q_len = 512, .kv_len = 512, .d = 32};
  p.causal = true;
  const Inputs in = data::make_inputs(p);
  const oracle::Reference reference(p, in, VerifyLevel::kFull);
  const Verdict one = reference.verify(run_ranks(p, in, {kRing, 1}));
  const Verdict eight = reference.verify(run_ranks(p, in, {kRing, 8, 1, 0, kZigzag}));
  ASSERT_EQ(one.tensors.size(), eight.tensors.size());
  for (std::size_t i = 0; i < one.tensors.size(); ++i) {
    ASSERT_TRUE(one.tensors[i].rms && eight.tensors[i].rms);
    EXPECT_LE(*eight.tensors[i].rms, 1.15 * *one.tensors[i].rms) << one.tensors[i].tensor;
  }
}

// ---- planted errors: each of them must fail ----

void expect_wrong(const Planted& planted, Problem p, const Arrangement& of, const char* what) {
  const Inputs in = data::make_inputs(p);
  const Verdict v = oracle::verify(p, in, run_ranks(p, in, of, planted), VerifyLevel::kFull);
  EXPECT_TRUE(v.checked() && !v.ok()) << what << " passes: " << described(v);
}

/// Of chunks that are equally long, so that messages fit wherever they go.
void expect_wrong_everywhere(const Planted& planted, const char* what) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16})
    for (const bool causal : {false, true}) {
      Problem p = small(48, 48, dtype);
      p.causal = causal;
      expect_wrong(planted, p, {kRing, 2, 1, 0, kContiguous}, what);
      expect_wrong(planted, p, {kRing, 3, 1, 0, kZigzag}, what);
      expect_wrong(planted, p, {kRing, 4, 1, 0, kZigzag}, what);
    }
}

TEST(Planted, TheMeanInPlaceOfTheMergePasses) {
  const PlantedParts<MeanOfParts> parts(flash_parts());
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
    Problem p = small(48, 48, dtype);
    p.pass = Pass::kForward;
    for (const int ranks : {2, 4}) expect_wrong({{}, &parts}, p, {kRing, ranks}, "mean");
  }
}

TEST(Planted, TheBlocksOwnLsePasses) {
  const PlantedParts<OwnLse> parts(flash_parts());
  expect_wrong_everywhere({{}, &parts}, "own LSE");
}

TEST(Planted, ALostStepPasses) {
  expect_wrong_everywhere({[](Schedule& s) { s.steps.back().blocks.clear(); }}, "last step lost");
}

TEST(Planted, GradientsThatAreNotBroughtHomePass) {
  const auto stay = [](Schedule& s) {
    Exchange& home = *s.steps.back().sums;
    home.to = home.from = s.rank;
  };
  expect_wrong_everywhere({stay}, "sums stay where they are");
}

TEST(Planted, ARingTurnedTheWrongWayPasses) {
  const auto turn = [](Schedule& s) {
    for (Step& step : s.steps)
      for (Exchange& e : step.exchanges) std::swap(e.to, e.from);
  };
  for (const bool causal : {false, true}) {
    // Of two ranks both ways are the same; without a mask the keys meet all queries in any order.
    Problem p = small(48, 48);
    p.causal = causal;
    if (!causal) p.padding = PaddingMask::kRandom;
    expect_wrong({turn}, p, {kRing, 3, 1, 0, kContiguous}, "turned");
    expect_wrong({turn}, p, {kRing, 4, 1, 0, kZigzag}, "turned");
  }
}

TEST(Planted, AStaleBufferPasses) {
  const auto stale = [](Schedule& s) { s.steps.back().slot = s.steps.front().slot; };
  for (const bool causal : {false, true}) {
    Problem p = small(48, 48);
    p.causal = causal;
    expect_wrong({stale}, p, {kRing, 2}, "stale");
    expect_wrong({stale}, p, {kRing, 4, 1, 0, kZigzag}, "stale");
  }
}

TEST(Planted, ABufferThatIsReadBeforeItsMessageIsTherePasses) {
  const auto late = [](Schedule& s) {
    for (Step& step : s.steps)
      for (Exchange& e : step.exchanges) e.due = static_cast<int>(s.steps.size());
  };
  const Problem p = small(48, 48);
  const Inputs in = data::make_inputs(p);
  const Outputs out = run_ranks(p, in, {kRing, 2}, {late}, {.latency_s = 0.02});
  EXPECT_FALSE(oracle::verify(p, in, out, VerifyLevel::kFull).ok());
}

}  // namespace
}  // namespace flashbench::distributed
