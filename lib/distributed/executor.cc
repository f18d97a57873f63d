#include "distributed/executor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "distributed/collectives.h"
#include "distributed/copy_rows.h"

namespace flashbench::distributed {
namespace {

// Messages of these are in flight at the same time.
enum Tag : int { kKeys, kOuterKeys, kSums, kQ, kK, kV, kO, kDo, kDq, kDk, kDv };

/// Of the sums of dK and dV: two that travel, and what a step adds.
constexpr int kFresh = 2, kSumSlots = 3;

std::size_t index(int i) { return static_cast<std::size_t>(i); }

std::int64_t most_key_rows(const Schedule& s) {
  std::int64_t most = 0;
  for (const Step& step : s.steps) most = std::max(most, step.key_rows());
  return most;
}

const OwnedRows& queries_of_member(const Schedule& s) {
  return s.member_queries[index(s.member())];
}
const OwnedRows& keys_of_member(const Schedule& s) { return s.member_keys[index(s.member())]; }

/// The rank's rows of all heads; nothing where its member is itself.
Problem owned(const Schedule& s, const Problem& whole) {
  return with_extents(whole, 1, s.queries.count(), s.keys.count());
}
/// Its member's rows of its part of the heads.
Problem computed(const Schedule& s, const Problem& whole) {
  return with_extents(whole, s.of.heads_over(), queries_of_member(s).count(),
                      keys_of_member(s).count());
}

int sum_slots(const Problem& whole) { return whole.needs_gradients() ? kSumSlots : 0; }

void copy(const Tensor& from, Tensor to) {
  if (from.bytes() > 0) std::memcpy(to.data(), from.data(), from.bytes());
}
void clear(std::span<std::byte> bytes) {
  if (!bytes.empty()) std::memset(bytes.data(), 0, bytes.size());
}

}  // namespace

Problem planned(const Schedule& s, const Problem& whole) {
  std::int64_t keys = 1;
  for (const Step& step : s.steps)
    for (const Block& block : step.blocks) keys = std::max(keys, block.keys.count);
  return with_extents(whole, s.of.heads_over(),
                      std::max<std::int64_t>(queries_of_member(s).count(), 1), keys);
}

Executor::Executor(const Problem& whole, const Schedule& s, const PartialKernel& kernel,
                   const Execution& e, std::span<const std::uint8_t> key_mask)
    : whole_(whole),
      s_(s),
      key_mask_(key_mask),
      query_rows_(rows_of_parts(queries_of_member(s), s.of.heads_over())),
      key_rows_(rows_of_parts(keys_of_member(s), s.of.heads_over())),
      plan_(kernel.plan(planned(s, whole), e)),
      computed_(computed(s, whole)),
      keys_(computed(s, whole), whole.dtype, s.slots(), most_key_rows(s)),
      sums_(computed(s, whole), Dtype::kF32, sum_slots(whole), most_key_rows(s)) {
  if (splits_heads()) owned_ = RankTensors(owned(s, whole));
  Inputs& in = computed_.in;
  at_hand_.q = Tensor(whole.dtype, in.q.dims(), in.q.data());
  if (whole.needs_gradients()) at_hand_.d_o = Tensor(whole.dtype, in.d_o.dims(), in.d_o.data());
}

std::size_t Executor::workspace_bytes(const Problem& whole, const Schedule& s,
                                      const PartialKernel& kernel, const Execution& e) {
  const Problem own = computed(s, whole);
  const std::int64_t rows = most_key_rows(s);
  std::size_t bytes = kernel.workspace_bytes(planned(s, whole), e) + RankTensors::bytes(own) +
                      PairSlots::bytes(own, whole.dtype, s.slots(), rows) +
                      PairSlots::bytes(own, Dtype::kF32, sum_slots(whole), rows);
  if (s.of.heads_over() > 1) bytes += RankTensors::bytes(owned(s, whole));
  return bytes;
}

// ---- the passes ----

void Executor::forward(Communicator& ranks, const Inputs& whole) {
  load(ranks, whole);
  place_own_keys(ranks);
  poll_with(ranks);
  if (has_queries()) plan_->begin_forward();
  for (std::size_t n = 0; n < s_.steps.size(); ++n) {
    begin_exchanges(ranks, s_.steps[n]);
    attend(s_.steps[n]);
    finish_exchanges(ranks, static_cast<int>(n) + 1);
  }
  if (has_queries()) plan_->end_forward(io_);
  if (splits_heads()) heads_to_rows(ranks, s_, query_rows_, computed_.out.o, owned_.out.o, kO);
}

void Executor::backward(Communicator& ranks, const Inputs& whole) {
  load_d_o(ranks, whole);
  place_own_keys(ranks);
  poll_with(ranks);
  if (has_queries()) plan_->begin_backward(io_);
  std::optional<Communicator::Ticket> sums_under_way;
  for (std::size_t n = 0; n < s_.steps.size(); ++n) {
    const Step& step = s_.steps[n];
    const int travelling = static_cast<int>(n) % 2;
    begin_exchanges(ranks, step);
    attend_backward(step, n == 0 ? travelling : kFresh);
    if (sums_under_way) {  // those of all ranks that had these keys before
      ranks.wait(*sums_under_way);
      add_sums(step, kFresh, travelling);
    }
    if (step.sums)
      sums_under_way = ranks.exchange(
          {sums_.message(step.sums->sent_slot, step.sums->sent_rows), step.sums->to},
          {sums_.message(step.sums->received_slot, step.sums->received_rows), step.sums->from},
          kSums);
    finish_exchanges(ranks, static_cast<int>(n) + 1);
  }
  if (sums_under_way) ranks.wait(*sums_under_way);
  if (s_.of.method == Method::kAllGather) scatter_sums(ranks);
  const std::int64_t keys = keys_of_member(s_).count();
  if (keys > 0)
    plan_->store_keys(sums_.sums(sums_under_way ? static_cast<int>(s_.steps.size()) % 2 : 0, keys),
                      {0, keys}, computed_.out);
  if (has_queries()) plan_->end_backward(io_);
  if (!splits_heads()) return;
  heads_to_rows(ranks, s_, query_rows_, computed_.out.dq, owned_.out.dq, kDq);
  heads_to_rows(ranks, s_, key_rows_, computed_.out.dk, owned_.out.dk, kDk);
  heads_to_rows(ranks, s_, key_rows_, computed_.out.dv, owned_.out.dv, kDv);
}

// ---- what the rank has of its own ----

void Executor::load(Communicator& ranks, const Inputs& whole) {
  Inputs& in = splits_heads() ? owned_.in : computed_.in;
  gather_rows(whole.q, 0, s_.queries.runs(), in.q);
  gather_rows(whole.k, 0, s_.keys.runs(), in.k);
  gather_rows(whole.v, 0, s_.keys.runs(), in.v);
  at_hand_.alibi_slopes = slopes_of_heads(whole.alibi_slopes);
  if (!splits_heads()) return;
  rows_to_heads(ranks, s_, query_rows_, in.q, computed_.in.q, kQ);
  rows_to_heads(ranks, s_, key_rows_, in.k, computed_.in.k, kK);
  rows_to_heads(ranks, s_, key_rows_, in.v, computed_.in.v, kV);
}

std::vector<float> Executor::slopes_of_heads(const std::vector<float>& slopes) const {
  std::vector<float> own;
  const std::int64_t heads = computed_.in.q.dims().h, first = s_.part() * heads;
  for (std::size_t b = 0; b < slopes.size(); b += static_cast<std::size_t>(whole_.shape.h)) {
    const auto from = slopes.begin() + static_cast<std::ptrdiff_t>(b) + first;
    own.insert(own.end(), from, from + heads);
  }
  return own;
}

void Executor::load_d_o(Communicator& ranks, const Inputs& whole) {
  Tensor& d_o = splits_heads() ? owned_.in.d_o : computed_.in.d_o;
  gather_rows(whole.d_o, 0, s_.queries.runs(), d_o);
  if (splits_heads()) rows_to_heads(ranks, s_, query_rows_, d_o, computed_.in.d_o, kDo);
}

void Executor::store(Pass pass, Outputs& whole) const {
  const Outputs& own = splits_heads() ? owned_.out : computed_.out;
  if (pass != Pass::kBackward) {
    scatter_rows(own.o, s_.queries.runs(), whole.o, 0);
    const std::int64_t heads = computed_.out.lse.dims().h;
    scatter_rows(computed_.out.lse, queries_of_member(s_).runs(), whole.lse, s_.part() * heads);
  }
  if (pass == Pass::kForward) return;
  scatter_rows(own.dq, s_.queries.runs(), whole.dq, 0);
  scatter_rows(own.dk, s_.keys.runs(), whole.dk, 0);
  scatter_rows(own.dv, s_.keys.runs(), whole.dv, 0);
}

// ---- keys: where they are, and on their way ----

/// The first step begins with the member's own; with all of them where they are gathered.
void Executor::place_own_keys(Communicator& ranks) {
  const Step& first = s_.steps[0];
  if (s_.of.method == Method::kAllGather) return gather_keys(ranks);
  copy(computed_.in.k, keys_.of_k(first.slot, first.key_rows()));
  copy(computed_.in.v, keys_.of_v(first.slot, first.key_rows()));
}

void Executor::begin_exchanges(Communicator& ranks, const Step& step) {
  int tag = kKeys;
  for (const Exchange& e : step.exchanges) {
    const bool last = &e == &step.exchanges.back();
    const Outgoing out = {keys_.message(e.sent_slot, e.sent_rows), e.to,
                          last ? Afterwards::kLost : Afterwards::kKept};
    const Incoming in = {keys_.message(e.received_slot, e.received_rows), e.from};
    under_way_.push_back({ranks.exchange(out, in, tag++), e.due});
  }
}

void Executor::finish_exchanges(Communicator& ranks, int due) {
  for (const UnderWay& message : under_way_)
    if (message.due == due) ranks.wait(message.ticket);
  std::erase_if(under_way_, [&](const UnderWay& message) { return message.due == due; });
}

/// Keys move while the kernel computes.
void Executor::poll_with(Communicator& ranks) {
  under_way_.clear();
  plan_->poll_with([this, &ranks] {
    try {
      for (const UnderWay& message : under_way_) ranks.poll(message.ticket);
    } catch (const Aborted&) {  // the next wait says so
    }
  });
}

namespace {

/// All members of the ring, as ranks of the same part.
std::vector<int> peers(const Schedule& s) {
  std::vector<int> group;
  for (int member = 0; member < s.of.ring(); ++member) group.push_back(s.peer(member));
  return group;
}

}  // namespace

void Executor::gather_keys(Communicator& ranks) {
  const Problem own = computed(s_, whole_);
  std::vector<PairSlots> parcels;
  std::vector<Bytes> parts;
  for (const OwnedRows& keys : s_.member_keys) {
    parcels.emplace_back(own, whole_.dtype, 1, keys.count());
    parts.push_back(parcels.back().message(0, keys.count()));
  }
  const std::int64_t own_rows = keys_of_member(s_).count();
  copy(computed_.in.k, parcels[index(s_.member())].of_k(0, own_rows));
  copy(computed_.in.v, parcels[index(s_.member())].of_v(0, own_rows));
  all_gather(ranks, peers(s_), parts, kKeys);
  const std::int64_t all_rows = s_.steps[0].key_rows(), heads = own.shape.h_kv;
  Tensor k = keys_.of_k(0, all_rows), v = keys_.of_v(0, all_rows);
  std::int64_t first = 0;
  for (std::size_t member = 0; member < parcels.size(); ++member) {
    const std::int64_t rows = s_.member_keys[member].count();
    copy_part(parcels[member].of_k(0, rows), {}, k, {0, first}, heads, rows);
    copy_part(parcels[member].of_v(0, rows), {}, v, {0, first}, heads, rows);
    first += rows;
  }
}

/// Sums of all keys go to those who own them.
void Executor::scatter_sums(Communicator& ranks) {
  const Problem own = computed(s_, whole_);
  const std::int64_t all_rows = s_.steps[0].key_rows(), heads = own.shape.h_kv;
  const Tensor dk = sums_.of_k(0, all_rows), dv = sums_.of_v(0, all_rows);
  std::vector<PairSlots> parcels;
  std::vector<std::span<float>> parts;
  std::int64_t first = 0;
  for (const OwnedRows& keys : s_.member_keys) {
    const std::int64_t rows = keys.count();
    PairSlots& parcel = parcels.emplace_back(own, Dtype::kF32, 1, rows);
    Tensor dk_part = parcel.of_k(0, rows), dv_part = parcel.of_v(0, rows);
    copy_part(dk, {0, first}, dk_part, {}, heads, rows);
    copy_part(dv, {0, first}, dv_part, {}, heads, rows);
    parts.emplace_back(dk_part.as<float>(),
                       static_cast<std::size_t>(dk_part.count() + dv_part.count()));
    first += rows;
  }
  reduce_scatter(ranks, peers(s_), parts, kSums);
  const std::int64_t rows = keys_of_member(s_).count();
  const std::span<std::byte> mine = parcels[index(s_.member())].message(0, rows);
  if (!mine.empty()) std::memcpy(sums_.message(0, rows).data(), mine.data(), mine.size());
}

// ---- what a step computes ----

void Executor::show_keys(const Step& step) {
  at_hand_.k = keys_.of_k(step.slot, step.key_rows());
  at_hand_.v = keys_.of_v(step.slot, step.key_rows());
  at_hand_.key_mask = mask_of(step);
}

void Executor::attend(const Step& step) {
  show_keys(step);
  for (const Block& block : step.blocks) plan_->forward(io_, block);
}

void Executor::attend_backward(const Step& step, int sums_slot) {
  show_keys(step);
  clear(sums_.message(sums_slot, step.key_rows()));
  KeySums sums = sums_.sums(sums_slot, step.key_rows());
  for (const Block& block : step.blocks) {
    sums.first = block.keys.first;
    plan_->backward(io_, block, sums);
  }
}

void Executor::add_sums(const Step& step, int from, int to) {
  if (step.blocks.empty()) return;
  const std::span<std::byte> message = sums_.message(from, step.key_rows());
  const auto* add = reinterpret_cast<const float*>(message.data());
  auto* sum = reinterpret_cast<float*>(sums_.message(to, step.key_rows()).data());
  for (std::size_t i = 0; i < message.size() / sizeof(float); ++i) sum[i] += add[i];
}

std::vector<std::uint8_t> Executor::mask_of(const Step& step) const {
  std::vector<std::uint8_t> mask;
  if (key_mask_.empty()) return mask;
  for (std::int64_t b = 0; b < whole_.shape.b; ++b)
    for (const RowRun& run : step.keys)
      for (std::int64_t i = 0; i < run.count; ++i)
        mask.push_back(key_mask_[static_cast<std::size_t>(b * whole_.shape.kv_len + run.row(i))]);
  return mask;
}

double Executor::flop_executed(Pass pass) const {
  double flop = 0;
  for (const Step& step : s_.steps) {
    const std::vector<std::uint8_t> mask = mask_of(step);
    for (const Block& block : step.blocks) flop += plan_->flop_executed(pass, block, mask);
  }
  return flop;
}

}  // namespace flashbench::distributed
