// Ranks whose parts are computed literally: no kernel's, no oracle, so that what is seen is this
// room's alone (and a sanitizer of threads needs little else).
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <tuple>
#include <vector>

#include "core/visibility.h"
#include "distributed/executor.h"
#include "distributed/threads_communicator.h"
#include "tests/distributed/literal_parts.h"

namespace flashbench::distributed {
namespace {

Tensor waves(const Dims& dims, double step) {
  Tensor t(Dtype::kF32, dims);
  for (std::int64_t i = 0; i < t.count(); ++i)
    t.set(i, static_cast<float>(std::sin(step * static_cast<double>(i + 1))));
  return t;
}

Problem problem(std::int64_t q_len, std::int64_t kv_len, bool causal) {
  Problem p;
  p.shape = {.b = 2, .h = 4, .h_kv = 2, .q_len = q_len, .kv_len = kv_len, .d = 6};
  p.shape.own_d_v = 5;
  p.pass = Pass::kBoth;
  p.causal = causal;
  return p;
}

Inputs inputs(const Problem& p) {
  Inputs in;
  in.q = waves(p.shape.q_dims(), 1.3);
  in.k = waves(p.shape.k_dims(), 0.7);
  in.v = waves(p.shape.v_dims(), 2.1);
  in.d_o = waves(p.shape.o_dims(), 0.9);
  if (p.padding == PaddingMask::kNone) return in;
  for (std::int64_t i = 0; i < p.shape.b * p.shape.kv_len; ++i)
    in.key_mask.push_back(i % 3 == 0 || i % 7 == 2 ? 1 : 0);
  return in;
}

Outputs outputs(const Problem& p) {
  Outputs out;
  out.o = Tensor(Dtype::kF32, p.shape.o_dims());
  out.lse = Tensor(Dtype::kF32, p.shape.lse_dims());
  out.dq = Tensor(Dtype::kF32, p.shape.q_dims());
  out.dk = Tensor(Dtype::kF32, p.shape.k_dims());
  out.dv = Tensor(Dtype::kF32, p.shape.v_dims());
  out.poison();
  return out;
}

Outputs of_one_block(const Problem& p, const Inputs& in) {
  Outputs out = outputs(p);
  LiteralParts plan(p);
  const Operands io{&in, &out};
  const RowRange queries{0, p.shape.q_len}, keys{0, p.shape.kv_len};
  const Block all{queries, keys, visible_of(p)};
  KeySums sums{Tensor(Dtype::kF32, p.shape.k_dims()), Tensor(Dtype::kF32, p.shape.v_dims())};
  for (Tensor* t : {&sums.dk, &sums.dv})
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 0);
  plan.begin_forward();
  plan.forward(io, all, nullptr);
  plan.end_forward(io, nullptr);
  plan.begin_backward(io, nullptr);
  plan.backward(io, all, sums, nullptr);
  plan.end_backward(io, nullptr);
  plan.store_keys(sums, keys, out);
  return out;
}

Outputs of_ranks(const Problem& p, const Inputs& in, const Arrangement& of, const Link& link) {
  const LiteralKernel kernel;
  const std::vector<Schedule> all = schedules(p, of);
  std::vector<std::unique_ptr<Executor>> ranks;
  for (const Schedule& s : all)
    ranks.push_back(std::make_unique<Executor>(p, s, kernel, Execution{}, in.key_mask));
  Outputs out = outputs(p);
  run_on_threads(of.ranks, link, [&](Communicator& c) {
    Executor& own = *ranks[static_cast<std::size_t>(c.rank())];
    own.forward(c, in);
    own.backward(c, in);
    own.store(p.pass, out);
  });
  return out;
}

void expect_alike(const Outputs& got, const Outputs& want, const Arrangement& of) {
  for (const auto& [tensor, a, b] :
       {std::tuple{"o", &got.o, &want.o}, std::tuple{"lse", &got.lse, &want.lse},
        std::tuple{"dq", &got.dq, &want.dq}, std::tuple{"dk", &got.dk, &want.dk},
        std::tuple{"dv", &got.dv, &want.dv}})
    for (std::int64_t i = 0; i < a->count(); ++i)
      ASSERT_TRUE(a->at(i) == b->at(i) || std::abs(a->at(i) - b->at(i)) < 1e-5f)
          << tensor << "[" << i << "] is " << a->at(i) << ", not " << b->at(i) << ": "
          << name(of.method) << " of " << of.ranks << ", ulysses " << of.ulysses << ", window "
          << of.window << ", " << name(of.layout);
}

TEST(LiteralRanks, SomeArrangementChangesAResult) {
  Problem padded = problem(14, 19, true);
  padded.padding = PaddingMask::kRandom;
  for (const Problem& p : {problem(13, 13, true), problem(11, 17, false), padded}) {
    const Inputs in = inputs(p);
    const Outputs want = of_one_block(p, in);
    for (const SequenceLayout layout : kEnumerators<SequenceLayout>)
      for (const Arrangement& of : {Arrangement{Method::kRing, 1, 1, 0, layout},
                                    Arrangement{Method::kRing, 3, 1, 0, layout},
                                    Arrangement{Method::kRing, 4, 2, 0, layout},
                                    Arrangement{Method::kRing, 6, 1, 3, layout},
                                    Arrangement{Method::kRing, 9, 1, 3, layout},
                                    Arrangement{Method::kAllGather, 3, 1, 0, layout},
                                    Arrangement{Method::kAllGather, 4, 2, 0, layout},
                                    Arrangement{Method::kUlysses, 2, 1, 0, layout}})
        expect_alike(of_ranks(p, in, of, {.most_delay_s = 2e-4, .seed = 1}), want, of);
  }
}

}  // namespace
}  // namespace flashbench::distributed
