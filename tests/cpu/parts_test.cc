// Some queries against some keys at a time, as ranks have them: right in any order, and wrong ways
// to put parts together are noticed.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/visibility.h"
#include "cpu/kernels.h"
#include "data/inputs.h"
#include "kernel/partial.h"
#include "oracle/verify.h"
#include "tests/cpu/chunk_case.h"
#include "tests/cpu/run.h"

namespace flashbench::cpu {
namespace {

/// Parts as ranks have them: halves of the queries, thirds of the keys, in any order.
std::vector<Block> blocks_of(const Problem& p) {
  const std::int64_t q = p.shape.q_len, kv = p.shape.kv_len;
  const RowRange halves[] = {{0, q / 2}, {q / 2, q - q / 2}};
  const RowRange thirds[] = {{kv / 3, kv / 3}, {2 * (kv / 3), kv - 2 * (kv / 3)}, {0, kv / 3}};
  std::vector<Block> blocks;
  for (const RowRange& keys : thirds)
    for (const RowRange& queries : halves) blocks.push_back(block_of(visible_of(p), queries, keys));
  return blocks;
}

/// A problem in parts, and what may go wrong on the way.
struct Parts {
  explicit Parts(const Problem& p, const Execution& e, const Inputs& in)
      : problem(p), inputs(in), blocks(blocks_of(p)), out(empty_outputs(p)) {
    Problem largest = p;
    largest.shape.kv_len = 0;
    for (const Block& block : blocks)
      largest.shape.kv_len = std::max(largest.shape.kv_len, block.keys.count);
    EXPECT_FALSE(flash().parts()->refuses(largest, e));
    plan = flash().parts()->plan(largest, e);
    EXPECT_EQ(plan->workspace_bytes(), flash().parts()->workspace_bytes(largest, e));
    sums = {Tensor(Dtype::kF32, p.shape.k_dims()), Tensor(Dtype::kF32, p.shape.v_dims())};
  }
  void forward() {
    plan->begin_forward();
    for (const Block& block : blocks) plan->forward({&inputs, &out}, block);
    plan->end_forward({&inputs, &out});
  }
  void add(const Block& block) {
    sums.first = block.keys.first;
    plan->backward({&inputs, &out}, block, sums);
  }
  void begin_backward() {
    for (Tensor* sum : {&sums.dk, &sums.dv}) std::memset(sum->data(), 0, sum->bytes());
    plan->begin_backward({&inputs, &out});
  }
  void end_backward() {
    plan->end_backward({&inputs, &out});
    sums.first = 0;
    plan->store_keys(sums, {0, problem.shape.kv_len}, out);
  }
  void backward() {
    begin_backward();
    for (const Block& block : blocks) add(block);
    end_backward();
  }

  const Problem& problem;
  const Inputs& inputs;
  std::vector<Block> blocks;
  Outputs out;
  std::unique_ptr<PartialPlan> plan;
  KeySums sums;
};

void expect_right(const ChunkCase& c, const Problem& p, const Execution& e, const Inputs& in,
                  const oracle::Reference& reference) {
  Parts parts(p, e, in);
  for (int again = 0; again < 2; ++again) {  // the second time what the first left is there
    parts.out.poison();
    parts.forward();
    if (p.needs_gradients()) parts.backward();
  }
  const Verdict v = reference.verify(parts.out);
  EXPECT_TRUE(v.checked() && v.ok())
      << c.guards_against << " " << name(p.dtype) << " at " << name(e.isa) << ": " << describe(v);
}

TEST(Parts, OfQueriesAndKeysInAnyOrderAreRight) {
  for (const ChunkCase& c : kChunkCases)
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
      const Problem p = problem_of(c, dtype);
      const Inputs in = data::make_inputs(p);
      const oracle::Reference reference(p, in, VerifyLevel::kFull);
      for (const Isa isa : available_isas()) expect_right(c, p, execution(isa), in, reference);
    }
}

TEST(Parts, InAFixedOrderAreRight) {
  for (const ChunkCase& c : {kChunkCases[1], kChunkCases[5], kChunkCases[10]}) {
    const Problem p = problem_of(c, Dtype::kF32);
    const Inputs in = data::make_inputs(p);
    Execution e = best(Dtype::kF32, 3);
    e.deterministic = true;
    expect_right(c, p, e, in, oracle::Reference(p, in, VerifyLevel::kFull));
  }
}

/// Who puts parts together wrongly; each leaves wrong results in parts.out.
struct Planted {
  const char* error;
  void (*run)(Parts&);
};

const Planted kPlanted[] = {
    {"mean_in_place_of_the_merge",
     [](Parts& parts) {
       const auto blocks = parts.blocks;
       std::vector<float> sum(static_cast<std::size_t>(parts.out.o.count()));
       for (const Block& block : blocks) {
         parts.blocks = {block};
         parts.forward();
         for (std::size_t i = 0; i < sum.size(); ++i)
           sum[i] += parts.out.o.at(static_cast<std::int64_t>(i));
       }
       parts.blocks = blocks;
       parts.forward();
       for (std::size_t i = 0; i < sum.size(); ++i)  // each row is in half of the blocks
         parts.out.o.set(static_cast<std::int64_t>(i),
                         sum[i] / (static_cast<float>(blocks.size()) / 2));
       parts.backward();
     }},
    {"last_part_lost",
     [](Parts& parts) {
       parts.blocks.pop_back();
       parts.forward();
       parts.backward();
     }},
    {"gradients_of_the_last_part_lost",
     [](Parts& parts) {
       parts.forward();
       parts.blocks.pop_back();
       parts.backward();
     }},
    {"the_parts_own_lse",
     [](Parts& parts) {
       parts.forward();
       parts.begin_backward();
       Outputs scratch = empty_outputs(parts.problem);
       for (const Block& block : parts.blocks) {
         parts.plan->begin_forward();
         parts.plan->forward({&parts.inputs, &scratch}, block);
         parts.plan->end_forward({&parts.inputs, &scratch});
         parts.add(block);
       }
       parts.end_backward();
     }},
    {"offset_wrong_by_one",
     [](Parts& parts) {
       for (Block& block : parts.blocks) block.visible.diagonal -= 1;
       parts.forward();
       parts.backward();
     }},
    {"rows_of_the_neighbour",
     [](Parts& parts) {
       parts.blocks[3].keys.first -= 1;  // block 2 sees nothing
       parts.forward();
       parts.backward();
     }},
    {"sums_not_carried",
     [](Parts& parts) {
       parts.forward();
       parts.begin_backward();
       for (const Block& block : parts.blocks) {
         if (&block == &parts.blocks[1])
           std::memset(parts.sums.dk.data(), 0, parts.sums.dk.bytes());
         parts.add(block);
       }
       parts.end_backward();
     }},
    {"state_not_reset",
     [](Parts& parts) {
       parts.forward();
       for (const Block& block : parts.blocks)
         parts.plan->forward({&parts.inputs, &parts.out}, block);
       parts.plan->end_forward({&parts.inputs, &parts.out});
       parts.backward();
     }},
};

TEST(Parts, PutTogetherWronglyAreNoticed) {
  const ChunkCase c{{"planted", {1, 2, 1, 64, 96, 32}, true}};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
    const Problem p = problem_of(c, dtype);
    const Inputs in = data::make_inputs(p);
    const oracle::Reference reference(p, in, VerifyLevel::kFull);
    const auto ok = [&](auto&& run_it) {
      Parts parts(p, best(dtype), in);
      run_it(parts);
      return reference.verify(parts.out).ok();
    };
    ASSERT_TRUE(ok([](Parts& parts) {
      parts.forward();
      parts.backward();
    }));
    for (const Planted& planted : kPlanted)
      EXPECT_FALSE(ok(planted.run)) << planted.error << " " << name(dtype);
  }
}

TEST(Parts, PollFromTheirThreadAlone) {
  const ChunkCase c{{"polled", {1, 4, 2, 400, 800, 64}}};
  const Problem p = problem_of(c, Dtype::kF32);
  const Inputs in = data::make_inputs(p);
  for (const int threads : {1, 3}) {
    Parts parts(p, best(Dtype::kF32, threads), in);
    int polls = 0, strangers = 0, early = 0;
    auto last = std::chrono::steady_clock::time_point{};
    parts.plan->poll_with([&, caller = std::this_thread::get_id()] {
      const auto now = std::chrono::steady_clock::now();
      early += now - last < Poll::kInterval;
      strangers += std::this_thread::get_id() != caller;
      ++polls;
      last = now;
    });
    parts.forward();
    const int in_forward = polls;
    parts.backward();
    if (threads == 1) {  // of several the others may do all the work
      EXPECT_GT(in_forward, 0);
      EXPECT_GT(polls, in_forward);
    }
    EXPECT_EQ(strangers, 0) << threads;
    EXPECT_EQ(early, 0) << threads;
    parts.plan->poll_with({});
    polls = 0;
    parts.forward();
    EXPECT_EQ(polls, 0);
  }
}

}  // namespace
}  // namespace flashbench::cpu
