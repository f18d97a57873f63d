#include "app/case/prepared_case.h"

#include <algorithm>
#include <cstring>

#include "app/case/memory.h"
#include "core/work.h"
#include "data/inputs.h"
#include "system/interrupt.h"

namespace flashbench::app {
namespace {

constexpr std::size_t kMaxCopies = 4096;

Tensor copy_of(const Tensor& from) {
  Tensor to(from.dtype(), from.dims());
  if (from.bytes() != 0) std::memcpy(to.data(), from.data(), from.bytes());
  return to;
}

Inputs copy_of(const Inputs& from) {
  Inputs to;
  to.q = copy_of(from.q);
  to.k = copy_of(from.k);
  to.v = copy_of(from.v);
  to.d_o = copy_of(from.d_o);
  to.key_mask = from.key_mask;
  to.sinks = from.sinks;
  to.alibi_slopes = from.alibi_slopes;
  to.bias = copy_of(from.bias);
  to.k_scale = from.k_scale;
  to.v_scale = from.v_scale;
  to.v_in_k = from.v_in_k;
  to.pages = {copy_of(from.pages.k), copy_of(from.pages.v), from.pages.block_table};
  return to;
}

void copy_values(const Tensor& from, Tensor& to) {
  if (from.bytes() != 0) std::memcpy(to.data(), from.data(), from.bytes());
}

/// What changes between calls; plans may point to where it lies.
void copy_values(const Inputs& from, Inputs& to) {
  copy_values(from.q, to.q);
  copy_values(from.k, to.k);
  copy_values(from.v, to.v);
  copy_values(from.d_o, to.d_o);
  copy_values(from.pages.k, to.pages.k);
  copy_values(from.pages.v, to.pages.v);
}

}  // namespace

PreparedCase::PreparedCase(const RoutedCase& c, const Inputs& shared, std::size_t copies)
    : case_(&c), shared_(&shared), copies_(copies) {
  const Problem& p = c.request.problem;
  for (std::size_t i = 0; i < copies; ++i) {
    if (i > 0) copies_[i].own = copy_of(shared);
    copies_[i].out = data::make_outputs(p);
    copies_[i].out.poison();
    const Operands io = operands(i);
    copies_[i].plan = c.route->kernel->plan(p, c.route->execution, *io.in);
    copies_[i].plan->prepare(io);
    stop_if_interrupted();
  }
}

void PreparedCase::launch() {
  copies_[next_].plan->launch(operands(next_));
  stop_if_interrupted();  // it may have left tiles out
  last_ = next_;
  next_ = (next_ + 1) % copies_.size();
}

void PreparedCase::renew() {
  for (std::size_t i = 0; i < copies_.size(); ++i) {
    if (i > 0) copy_values(*shared_, copies_[i].own);
    copies_[i].out.poison();
    copies_[i].plan->prepare(operands(i));
  }
}

void PreparedCase::poison_results() {
  const bool reads_forward = case_->request.problem.pass == Pass::kBackward;
  for (Copy& copy : copies_) {
    Outputs& out = copy.out;
    copy.plan->poison_results();
    for (Tensor* t : {&out.o, &out.lse})
      if (!reads_forward) t->poison();
    for (Tensor* t : {&out.dq, &out.dk, &out.dv, &out.dsinks, &out.dbias}) t->poison();
  }
}

void PreparedCase::wait() { copies_[last_].plan->wait(); }

const Outputs& PreparedCase::collect() {
  copies_[last_].plan->collect(operands(last_));
  return copies_[last_].out;
}

Outputs PreparedCase::copy_outputs() const {
  const Outputs& out = outputs();
  return {copy_of(out.o),  copy_of(out.lse),    copy_of(out.dq),   copy_of(out.dk),
          copy_of(out.dv), copy_of(out.dsinks), copy_of(out.dbias)};
}

std::vector<PhaseProfile::Row> PreparedCase::profile() {
  std::vector<PhaseProfile::Row> rows = copies_[0].plan->profile(operands(0));
  stop_if_interrupted();
  return rows;
}

std::vector<PhaseProfile> PreparedCase::trace(std::size_t events) {
  std::vector<PhaseProfile> passes = copies_[0].plan->trace(operands(0), events);
  stop_if_interrupted();
  return passes;
}

Operands PreparedCase::operands(std::size_t copy) {
  return {copy == 0 ? shared_ : &copies_[copy].own, &copies_[copy].out};
}

namespace {

/// Of tensors that are there for the oracle alone: kernels read pages, and V in K.
std::size_t unread_bytes(const Problem& p) {
  const std::size_t v =
      static_cast<std::size_t>(p.shape.v_dims().count()) * size_bytes(p.kv_dtype());
  if (p.paged()) return tensor_bytes(p).k + v;
  return p.v_in_k ? v : 0;
}

}  // namespace

std::size_t copies_for(const RoutedCase& c, std::size_t last_cache_bytes) {
  if (c.request.cache == sweep::CacheState::kWarm || c.traits().flushes_caches) return 1;
  const MemoryNeed need = memory_need(c);
  const std::size_t operands =
      std::max<std::size_t>(need.inputs + need.outputs - unread_bytes(c.request.problem), 1);
  return std::clamp<std::size_t>(2 * last_cache_bytes / operands + 1, 2, kMaxCopies);
}

}  // namespace flashbench::app
