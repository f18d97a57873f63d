#include "distributed/schedule.h"

#include <algorithm>

#include "core/visibility.h"

namespace flashbench::distributed {
namespace {

/// Where ranks are in a ring of rings, and whose keys come when: member (outer j, inner l) has in
/// step (o, i) those of member (j - o, l - i). Of a plain ring all is inner.
class Rings {
 public:
  explicit Rings(const Arrangement& of) : inner_(of.inner_ring()), outer_(of.ring() / inner_) {}

  int inner() const { return inner_; }
  int outer() const { return outer_; }
  int steps() const { return inner_ * outer_; }
  int member(int j, int l) const { return (j + outer_) % outer_ * inner_ + (l + inner_) % inner_; }
  int owner(int member_of_ring, int step) const {
    return member(member_of_ring / inner_ - step / inner_, member_of_ring % inner_ - step % inner_);
  }
  /// Two slots take turns within an inner ring, two more for what comes from the next one.
  int slot(int step) const {
    const int o = step / inner_, i = step % inner_;
    if (outer_ == 1) return i % 2;
    return i == 0 ? o % 2 : 2 + (i - 1) % 2;
  }

 private:
  int inner_, outer_;
};

/// What the rank's member of the ring computes with some keys.
std::vector<Block> blocks_of(const Problem& p, const Schedule& s, std::span<const RowRun> keys) {
  const OwnedRows& queries = s.member_queries[static_cast<std::size_t>(s.member())];
  const bool distances = p.alibi != Alibi::kNone;
  return blocks(visible_of(p), queries.runs(), keys,
                distances ? Distances::kCount : Distances::kDoNotCount);
}

class RingSchedule {
 public:
  RingSchedule(const Problem& p, Schedule& s) : problem_(p), s_(s), rings_(s.of) {}

  void add_steps() {
    for (int n = 0; n < rings_.steps(); ++n) s_.steps.push_back(step(n));
  }

 private:
  Step step(int n) const {
    const OwnedRows& keys = keys_at(n);
    Step step;
    step.keys.assign(keys.runs().begin(), keys.runs().end());
    step.slot = rings_.slot(n);
    step.blocks = blocks_of(problem_, s_, step.keys);
    const int j = s_.member() / rings_.inner(), l = s_.member() % rings_.inner();
    const int i = n % rings_.inner();
    if (i + 1 < rings_.inner())
      step.exchanges.push_back(keys_to(rings_.member(j, l + 1), rings_.member(j, l - 1), n, n + 1));
    if (const int next = n + rings_.inner(); i == 0 && next < rings_.steps())
      step.exchanges.push_back(keys_to(rings_.member(j + 1, l), rings_.member(j - 1, l), n, next));
    if (rings_.steps() > 1) step.sums = sums(n);
    return step;
  }

  /// What is at hand in step n goes on; what step `due` needs comes.
  Exchange keys_to(int to, int from, int n, int due) const {
    return {s_.peer(to),
            s_.peer(from),
            keys_at(n).count(),
            keys_at(due).count(),
            rings_.slot(n),
            rings_.slot(due),
            due};
  }

  /// After the last step of an inner ring they leave it; after the last of all they are home.
  Exchange sums(int n) const {
    const int j = s_.member() / rings_.inner(), l = s_.member() % rings_.inner();
    const int out = (n + 1) % rings_.inner() == 0 ? 1 : 0;
    const int next = (n + 1) % rings_.steps();
    return {s_.peer(rings_.member(j + out, l + 1)),
            s_.peer(rings_.member(j - out, l - 1)),
            keys_at(n).count(),
            keys_at(next).count(),
            n % 2,
            (n + 1) % 2,
            n + 1};
  }

  const OwnedRows& keys_at(int step) const {
    return s_.member_keys[static_cast<std::size_t>(rings_.owner(s_.member(), step))];
  }

  const Problem& problem_;
  Schedule& s_;
  Rings rings_;
};

/// All keys at once, those of one member behind those of the one before it.
Step gathered_step(const Problem& p, const Schedule& s) {
  Step step;
  step.slot = 0;
  for (const OwnedRows& keys : s.member_keys)
    step.keys.insert(step.keys.end(), keys.runs().begin(), keys.runs().end());
  step.blocks = blocks_of(p, s, step.keys);
  return step;
}

std::int64_t size(Dtype dtype) { return static_cast<std::int64_t>(size_bytes(dtype)); }

/// Bytes of a row of K and of V, of the heads of a rank.
std::int64_t key_row_bytes(const Schedule& s, const Problem& p, Dtype dtype) {
  const Shape& shape = p.shape;
  return shape.b * (shape.h_kv / s.of.heads_over()) * (shape.d + shape.d_v()) * size(dtype);
}

/// Rows for heads, or heads for rows: what one pass sends of a tensor like Q and one like O, of K
/// and of V. Each rank keeps one part of what it has.
std::int64_t all_to_all_bytes(const Schedule& s, const Problem& p, Pass pass) {
  const Shape& shape = p.shape;
  const std::int64_t parts = s.of.heads_over();
  const auto member = static_cast<std::size_t>(s.member());
  const std::int64_t per_row = shape.b * (shape.h / parts) * size(p.dtype);
  const std::int64_t own_rows = s.queries.count() * (parts - 1);
  const std::int64_t others_rows = s.member_queries[member].count() - s.queries.count();
  const std::int64_t keys = key_row_bytes(s, p, p.dtype);
  if (pass == Pass::kForward)
    return per_row * (own_rows * shape.d + others_rows * shape.d_v()) +
           keys * s.keys.count() * (parts - 1);
  return per_row * (own_rows * shape.d_v() + others_rows * shape.d) +
         keys * (s.member_keys[member].count() - s.keys.count());
}

}  // namespace

std::int64_t Step::key_rows() const {
  std::int64_t sum = 0;
  for (const RowRun& run : keys) sum += run.count;
  return sum;
}

int Schedule::slots() const {
  int most = 0;
  for (const Step& step : steps) {
    most = std::max(most, step.slot);
    for (const Exchange& e : step.exchanges) most = std::max(most, e.received_slot);
  }
  return most + 1;
}

Schedule schedule(const Problem& p, const Arrangement& of, int rank) {
  Schedule s{of, rank, {}, {}, {}, {}, {}};
  const Partition queries{p.shape.q_len, of.ring(), of.layout};
  const Partition keys{p.shape.kv_len, of.ring(), of.layout};
  for (int member = 0; member < of.ring(); ++member) {
    s.member_queries.push_back(queries.owned(member));
    s.member_keys.push_back(keys.owned(member));
  }
  s.queries = queries.owned(s.member()).part(s.part(), of.heads_over());
  s.keys = keys.owned(s.member()).part(s.part(), of.heads_over());
  if (of.method == Method::kAllGather)
    s.steps.push_back(gathered_step(p, s));
  else
    RingSchedule(p, s).add_steps();
  return s;
}

std::vector<Schedule> schedules(const Problem& p, const Arrangement& of) {
  std::vector<Schedule> all;
  for (int rank = 0; rank < of.ranks; ++rank) all.push_back(schedule(p, of, rank));
  return all;
}

std::int64_t bytes_sent(const Schedule& s, const Problem& p, Pass pass) {
  if (pass == Pass::kBoth)
    return bytes_sent(s, p, Pass::kForward) + bytes_sent(s, p, Pass::kBackward);
  const std::int64_t per_row = key_row_bytes(s, p, p.dtype);
  const std::int64_t sums_per_row = key_row_bytes(s, p, Dtype::kF32);
  std::int64_t bytes = all_to_all_bytes(s, p, pass);
  for (const Step& step : s.steps) {
    for (const Exchange& e : step.exchanges) bytes += e.sent_rows * per_row;
    if (step.sums && pass == Pass::kBackward) bytes += step.sums->sent_rows * sums_per_row;
  }
  if (s.of.method != Method::kAllGather) return bytes;
  const std::int64_t own = s.member_keys[static_cast<std::size_t>(s.member())].count();
  bytes += (s.of.ring() - 1) * own * per_row;
  if (pass == Pass::kBackward) bytes += (s.steps[0].key_rows() - own) * sums_per_row;
  return bytes;
}

std::int64_t key_slot_bytes(const Schedule& s, const Problem& p) {
  std::int64_t most = 0;
  for (const Step& step : s.steps) most = std::max(most, step.key_rows());
  return s.slots() * most * key_row_bytes(s, p, p.dtype);
}

std::int64_t pairs(const Schedule& s) {
  std::int64_t sum = 0;
  for (const Step& step : s.steps)
    for (const Block& block : step.blocks) sum += block.visible.pairs();
  return sum;
}

double imbalance(std::span<const Schedule> all) {
  std::int64_t most = 0, sum = 0;
  for (const Schedule& s : all) {
    most = std::max(most, pairs(s));
    sum += pairs(s);
  }
  if (sum == 0) return 1;
  return static_cast<double>(most) * static_cast<double>(all.size()) / static_cast<double>(sum);
}

}  // namespace flashbench::distributed
