#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/verdict.h"
#include "cpu/kernels.h"
#include "cpu/tile_ops.h"
#include "data/inputs.h"
#include "distributed/executor.h"
#include "distributed/threads_communicator.h"
#include "oracle/verify.h"

namespace flashbench::distributed {

inline Problem small(std::int64_t q_len, std::int64_t kv_len, Dtype dtype = Dtype::kF32) {
  Problem p;
  p.shape = {.b = 2, .h = 4, .h_kv = 2, .q_len = q_len, .kv_len = kv_len, .d = 16};
  p.dtype = dtype;
  p.pass = Pass::kBoth;
  p.d_o = GradSource::kRandom;
  return p;
}

/// What becomes of the schedules, and which parts compute: nothing and the kernel's own, or an
/// error that was planted.
struct Planted {
  std::function<void(Schedule&)> schedule = {};
  const PartialKernel* parts = nullptr;
};

inline const PartialKernel& flash_parts() { return *cpu::kernels().front()->parts(); }

inline Execution one_thread(const Problem& p) {
  Execution e;
  e.isa = cpu::best_isa(p.dtype);
  return e;
}

/// What all ranks together write.
inline Outputs run_ranks(const Problem& p, const Inputs& in, const Arrangement& of,
                         const Planted& planted = {}, const Link& link = {}) {
  std::vector<Schedule> all = schedules(p, of);
  if (planted.schedule)
    for (Schedule& s : all) planted.schedule(s);
  const PartialKernel& parts = planted.parts != nullptr ? *planted.parts : flash_parts();
  std::vector<std::unique_ptr<Executor>> ranks;
  for (const Schedule& s : all)
    ranks.push_back(std::make_unique<Executor>(p, s, parts, one_thread(p), in.key_mask));
  Outputs out = data::make_outputs(p);
  out.poison();
  run_on_threads(of.ranks, link, [&](Communicator& c) {
    Executor& own = *ranks[static_cast<std::size_t>(c.rank())];
    own.forward(c, in);
    if (p.needs_gradients()) own.backward(c, in);
    own.store(p.pass, out);
  });
  return out;
}

/// The worst of each tensor against the oracle: "o 0.5x, lse ..., dq 7000x".
inline std::string described(const Verdict& v) {
  std::string text;
  for (const TensorVerdict& t : v.tensors)
    text += t.tensor + " " + std::to_string(t.error_over_noise) + "x ";
  return text;
}

}  // namespace flashbench::distributed
