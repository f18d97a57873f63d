#include "distributed/schedule.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/visibility.h"

namespace flashbench::distributed {
namespace {

Problem problem(std::int64_t q_len, std::int64_t kv_len, bool causal) {
  Problem p;
  p.shape = {.b = 2, .h = 8, .h_kv = 4, .q_len = q_len, .kv_len = kv_len, .d = 16};
  p.dtype = Dtype::kBf16;
  p.causal = causal;
  return p;
}

struct Named {
  const char* name;
  Arrangement of;
};

std::vector<Named> arrangements(int ranks, SequenceLayout layout) {
  std::vector<Named> all = {
      {"ring", {Method::kRing, ranks, 1, 0, layout}},
      {"all_gather", {Method::kAllGather, ranks, 1, 0, layout}},
  };
  if (ranks % 2 == 0) {
    all.push_back({"ulysses x ring", {Method::kRing, ranks, 2, 0, layout}});
    all.push_back({"ulysses x all_gather", {Method::kAllGather, ranks, 2, 0, layout}});
    all.push_back({"double ring of 2", {Method::kRing, ranks, 1, 2, layout}});
  }
  if (ranks % 4 == 0) all.push_back({"double ring of 4", {Method::kRing, ranks, 1, 4, layout}});
  if (ranks % 3 == 0) all.push_back({"double ring of 3", {Method::kRing, ranks, 1, 3, layout}});
  if (ranks == 4) all.push_back({"ulysses", {Method::kUlysses, ranks, 1, 0, layout}});
  if (ranks == 12) all.push_back({"all three", {Method::kRing, ranks, 2, 3, layout}});
  return all;
}

/// How often each pair of the sequence is computed, by the ranks of one part of the heads.
std::map<std::pair<std::int64_t, std::int64_t>, int> computed(const std::vector<Schedule>& all) {
  std::map<std::pair<std::int64_t, std::int64_t>, int> times;
  for (const Schedule& s : all) {
    if (s.part() != 0) continue;
    const OwnedRows& queries = s.member_queries[static_cast<std::size_t>(s.member())];
    for (const Step& step : s.steps) {
      std::vector<std::int64_t> keys;
      for (const RowRun& run : step.keys)
        for (std::int64_t i = 0; i < run.count; ++i) keys.push_back(run.row(i));
      for (const Block& block : step.blocks) {
        EXPECT_EQ(block.queries.count, block.visible.q_len);
        EXPECT_EQ(block.keys.count, block.visible.kv_len);
        for (std::int32_t q = 0; q < block.visible.q_len; ++q) {
          const KeyRange seen = block.visible.keys(q);
          for (std::int32_t k = seen.begin; k < seen.end; ++k)
            ++times[{queries.row(block.queries.first + q),
                     keys[static_cast<std::size_t>(block.keys.first + k)]}];
        }
      }
    }
  }
  return times;
}

std::map<std::pair<std::int64_t, std::int64_t>, int> seen_once(const Visible& whole) {
  std::map<std::pair<std::int64_t, std::int64_t>, int> times;
  for (std::int32_t q = 0; q < whole.q_len; ++q)
    for (std::int32_t k = whole.keys(q).begin; k < whole.keys(q).end; ++k) times[{q, k}] = 1;
  return times;
}

void expect_each_pair_once(const Problem& p, const char* what) {
  for (const int ranks : {1, 2, 3, 4, 5, 8, 12})
    for (const SequenceLayout layout : kEnumerators<SequenceLayout>) {
      if (p.alibi != Alibi::kNone && layout == SequenceLayout::kStriped) continue;
      for (const auto& [method, of] : arrangements(ranks, layout))
        EXPECT_TRUE(computed(schedules(p, of)) == seen_once(visible_of(p)))
            << what << ", " << method << " of " << ranks << ", " << name(layout) << ", "
            << p.shape.q_len << " x " << p.shape.kv_len;
    }
}

TEST(Schedule, PairsAreLeftOutOrComputedTwice) {
  const std::vector<std::pair<int, int>> lengths = {{1, 1},   {3, 2},   {16, 16}, {17, 17},
                                                    {24, 24}, {13, 29}, {29, 13}, {48, 48}};
  for (const auto& [q_len, kv_len] : lengths)
    for (const bool causal : {false, true}) {
      Problem p = problem(q_len, kv_len, causal);
      expect_each_pair_once(p, "no window");
      p.window_left = 5;
      expect_each_pair_once(p, "window to the left");
      p.window_right = causal ? 0 : 3;
      expect_each_pair_once(p, "window");
      p.window_left = std::nullopt;
      expect_each_pair_once(p, "window to the right");
    }
}

TEST(Schedule, DistancesAreNotThoseOfTheSequence) {
  for (const bool causal : {false, true}) {
    Problem p = problem(23, 31, causal);
    p.alibi = Alibi::kStandard;
    expect_each_pair_once(p, "alibi");
    for (const auto layout : {SequenceLayout::kContiguous, SequenceLayout::kZigzag})
      for (const Schedule& s : schedules(p, {Method::kRing, 3, 1, 0, layout}))
        for (const Step& step : s.steps)
          for (const Block& b : step.blocks) {
            std::vector<std::int64_t> keys;
            for (const RowRun& run : step.keys)
              for (std::int64_t i = 0; i < run.count; ++i) keys.push_back(run.row(i));
            const OwnedRows& queries = s.member_queries[static_cast<std::size_t>(s.member())];
            const std::int64_t own_key = queries.row(b.queries.first) + 31 - 23;
            EXPECT_EQ(own_key - keys[static_cast<std::size_t>(b.keys.first)], b.visible.diagonal);
          }
  }
}

// Whole blocks and triangles, as few as the papers say: more calls would be slower ones.
TEST(Schedule, BlocksOfTheSameShapeAreTakenApart) {
  const Problem causal = problem(64, 64, true);
  for (const Schedule& s : schedules(causal, {Method::kRing, 4, 1, 0, SequenceLayout::kZigzag}))
    for (const Step& step : s.steps) {
      ASSERT_EQ(step.blocks.size(), 1u);
      const Block& b = step.blocks[0];
      const bool on_diagonal = &step == s.steps.data();
      EXPECT_EQ(is_whole(b), !on_diagonal) << "no block off the diagonal needs a mask";
      const std::int64_t area = b.queries.count * b.keys.count;
      EXPECT_EQ(area, on_diagonal ? 16 * 16 : 16 * 8);
    }
  const Problem full = problem(64, 64, false);
  for (const SequenceLayout layout : kEnumerators<SequenceLayout>)
    for (const Schedule& s : schedules(full, {Method::kRing, 4, 1, 0, layout}))
      for (const Step& step : s.steps) EXPECT_EQ(step.blocks.size(), 1u) << name(layout);
  for (const Schedule& s :
       schedules(causal, {Method::kAllGather, 4, 1, 0, SequenceLayout::kContiguous}))
    EXPECT_EQ(s.steps[0].blocks.size(), 1u);
}

// ---- bytes: the table of distributed-memory attention, b = 2 ----

struct Formulas {
  std::int64_t b, h, g, d, L, P;
  std::int64_t keys() const { return b * 2 * g * L * d * 2; }  // 2gLde, e = 2
  std::int64_t sums() const { return b * 2 * g * L * d * 4; }
  std::int64_t all_to_all(std::int64_t of) const {
    return (of - 1) * b * L * (2 * h + 2 * g) * d * 2 / of;
  }
};

void expect_bytes(const Arrangement& of, std::int64_t forward, std::int64_t backward) {
  const Problem p = problem(1920, 1920, true);
  for (const Schedule& s : schedules(p, of)) {
    EXPECT_EQ(bytes_sent(s, p, Pass::kForward), forward);
    EXPECT_EQ(bytes_sent(s, p, Pass::kBackward), backward);
    EXPECT_EQ(bytes_sent(s, p, Pass::kBoth), forward + backward);
  }
}

TEST(Schedule, BytesAreNotThoseOfTheFormulas) {
  for (const std::int64_t P : {1, 2, 3, 4, 5, 8}) {
    const Formulas f{2, 8, 4, 16, 1920 / P, P};
    const int ranks = static_cast<int>(P);
    const std::int64_t home = P == 1 ? 0 : P;
    for (const SequenceLayout layout : kEnumerators<SequenceLayout>) {
      expect_bytes({Method::kRing, ranks, 1, 0, layout}, (P - 1) * f.keys(),
                   (P - 1) * f.keys() + home * f.sums());
      expect_bytes({Method::kAllGather, ranks, 1, 0, layout}, (P - 1) * f.keys(),
                   (P - 1) * f.keys() + (P - 1) * f.sums());
      if (P % 2 == 0) {
        expect_bytes({Method::kRing, ranks, 1, 2, layout}, (P - 1) * f.keys(),
                     (P - 1) * f.keys() + P * f.sums());
        const std::int64_t R = P / 2, back = R == 1 ? 0 : R;
        expect_bytes({Method::kRing, ranks, 2, 0, layout}, f.all_to_all(2) + (R - 1) * f.keys(),
                     f.all_to_all(2) + (R - 1) * f.keys() + back * f.sums());
      }
      if (P == 2 || P == 4)
        expect_bytes({Method::kUlysses, ranks, 1, 0, layout}, f.all_to_all(P), f.all_to_all(P));
    }
  }
}

TEST(Schedule, MoreMessagesCrossTheNetworkThanThereAreWindows) {
  const Problem p = problem(64, 64, false);
  for (const int window : {2, 4}) {
    for (const Schedule& s : schedules(p, {Method::kRing, 8, 1, window})) {
      int crossing = 0, messages = 0;
      for (const Step& step : s.steps)
        for (const Exchange& e : step.exchanges) {
          ++messages;
          crossing += e.to / window != s.rank / window ? 1 : 0;
        }
      EXPECT_EQ(messages, 7);
      EXPECT_EQ(crossing, 8 / window - 1);
    }
  }
}

TEST(Schedule, MoreKeysAreInMemoryThanThreeOrTwoBlocks) {
  const Problem p = problem(240, 240, false);
  const std::int64_t block = 2 * 2 * 4 * 16 * 2 * 240;  // b·2gnde
  const auto bytes = [&](const Arrangement& of) { return key_slot_bytes(schedule(p, of, 0), p); };
  EXPECT_EQ(bytes({Method::kRing, 8}), 2 * block / 8);
  EXPECT_EQ(bytes({Method::kAllGather, 8}), block);
  EXPECT_EQ(bytes({Method::kUlysses, 4}), block / 4);
  EXPECT_EQ(bytes({Method::kRing, 8, 2}), 2 * block / 8);
  EXPECT_EQ(bytes({Method::kRing, 8, 1, 2}), 3 * block / 8);
  EXPECT_EQ(bytes({Method::kRing, 8, 1, 4}), 4 * block / 8) << "two of either ring";
}

TEST(Schedule, SomeRankHasMoreToDoThanTheFormulaSays) {
  const auto of = [&](SequenceLayout layout, bool causal) {
    return imbalance(schedules(problem(4096, 4096, causal), {Method::kRing, 8, 1, 0, layout}));
  };
  EXPECT_NEAR(of(SequenceLayout::kContiguous, true), 15.0 / 8, 2e-3);  // (2P - 1)/P
  EXPECT_NEAR(of(SequenceLayout::kZigzag, true), 1, 1e-6);
  EXPECT_NEAR(of(SequenceLayout::kStriped, true), 1, 8.0 / 4096);  // O(1/L)
  EXPECT_NEAR(of(SequenceLayout::kContiguous, false), 1, 1e-12);
}

// ---- what travels is where the next step expects it ----

/// Follows all messages of all ranks; `held` says what each slot of a rank holds.
class Tracer {
 public:
  explicit Tracer(const std::vector<Schedule>& all) : all_(all) {}

  void run() {
    const std::size_t steps = all_[0].steps.size();
    for (const Schedule& s : all_) {
      keys_[{s.rank, s.steps[0].slot}] = s.member();
      sums_[{s.rank, 0}] = s.member();
    }
    for (std::size_t n = 0; n < steps; ++n) {
      deliver(static_cast<int>(n));
      for (const Schedule& s : all_) expect_at_hand(s, static_cast<int>(n));
      for (const Schedule& s : all_) send(s, static_cast<int>(n));
    }
    if (steps == 1) return;
    for (const Schedule& s : all_)
      EXPECT_EQ((sums_[{s.rank, static_cast<int>(steps) % 2}]), s.member()) << "are not home";
  }

 private:
  struct OnTheWay {
    int to, slot, owner, due;
  };
  void deliver(int step) {
    for (const OnTheWay& m : under_way_)
      if (m.due == step) keys_[{m.to, m.slot}] = m.owner;
  }
  void expect_at_hand(const Schedule& s, int n) {
    const Step& step = s.steps[static_cast<std::size_t>(n)];
    const int owner = keys_.at({s.rank, step.slot});
    const OwnedRows& rows = s.member_keys[static_cast<std::size_t>(owner)];
    EXPECT_EQ(step.keys, std::vector<RowRun>(rows.runs().begin(), rows.runs().end()));
    EXPECT_EQ((sums_.at({s.rank, n % 2})), owner);
  }
  void send(const Schedule& s, int n) {
    const Step& step = s.steps[static_cast<std::size_t>(n)];
    for (std::size_t i = 0; i < step.exchanges.size(); ++i) {
      const Exchange& e = step.exchanges[i];
      const Exchange& theirs =
          all_[static_cast<std::size_t>(e.to)].steps[static_cast<std::size_t>(n)].exchanges[i];
      EXPECT_EQ(theirs.from, s.rank) << "nobody expects it";
      EXPECT_EQ(theirs.received_rows, e.sent_rows);
      EXPECT_EQ(theirs.due, e.due);
      under_way_.push_back({e.to, theirs.received_slot, keys_.at({s.rank, e.sent_slot}), e.due});
    }
    if (!step.sums) return;
    const Exchange& e = *step.sums;
    const Step& theirs = all_[static_cast<std::size_t>(e.to)].steps[static_cast<std::size_t>(n)];
    EXPECT_EQ(theirs.sums->from, s.rank);
    EXPECT_EQ(theirs.sums->received_rows, e.sent_rows);
    sums_[{e.to, theirs.sums->received_slot}] = sums_.at({s.rank, e.sent_slot});
  }

  const std::vector<Schedule>& all_;
  std::map<std::pair<int, int>, int> keys_, sums_;  // (rank, slot): member that owns them
  std::vector<OnTheWay> under_way_;
};

TEST(Schedule, WhatIsSentIsNotWhatTheNextStepNeeds) {
  const Problem p = problem(37, 41, true);
  for (const int ranks : {1, 2, 3, 4, 6, 8, 12})
    for (const SequenceLayout layout : kEnumerators<SequenceLayout>)
      for (const auto& [method, of] : arrangements(ranks, layout)) {
        if (of.method == Method::kAllGather) continue;
        SCOPED_TRACE(testing::Message() << method << " of " << ranks);
        const std::vector<Schedule> all = schedules(p, of);
        Tracer(all).run();
      }
}

// A slot that something comes into, or is sent from, is not written or given away meanwhile.
TEST(Schedule, ASlotIsOverwrittenWhileItIsInUse) {
  const Problem p = problem(64, 64, true);
  for (const int ranks : {2, 3, 4, 8, 12})
    for (const auto& [method, of] : arrangements(ranks, SequenceLayout::kZigzag))
      for (const Schedule& s : schedules(p, of))
        for (int n = 0; n < static_cast<int>(s.steps.size()); ++n)
          for (const Exchange& e : s.steps[static_cast<std::size_t>(n)].exchanges)
            for (int m = n; m < e.due; ++m) {
              const Step& meanwhile = s.steps[static_cast<std::size_t>(m)];
              EXPECT_NE(meanwhile.slot, e.received_slot) << method << ", step " << m;
              for (const Exchange& other : meanwhile.exchanges) {
                EXPECT_NE(other.received_slot, e.sent_slot) << method << ", step " << m;
                EXPECT_TRUE(&other == &e || other.received_slot != e.received_slot) << method;
              }
            }
}

}  // namespace
}  // namespace flashbench::distributed
