#include "oracle/verify.h"

#include <memory>
#include <vector>

#include "core/batch_element.h"
#include "oracle/bias_gradient.h"
#include "oracle/checks.h"
#include "oracle/identities.h"
#include "oracle/reference.h"
#include "oracle/sample.h"
#include "oracle/sink_gradient.h"
#include "system/interrupt.h"

namespace flashbench::oracle {
namespace {

/// The reference of a problem, or of one sequence of a ragged batch.
class BatchReference {
 public:
  /// `whole`: the batch of which p is one sequence, number `first_b`, or all.
  BatchReference(const Problem& p, const Inputs& in, VerifyLevel level, ExtraRoundings rounds,
                 const Shape& whole, std::int64_t first_b)
      : problem_(p), first_b_(first_b), def_(problem_, in, rounds) {
    if (level == VerifyLevel::kFull) {
      rows_ = all_rows(def_);
      columns_ = all_columns(def_, rows_);
    } else if (level == VerifyLevel::kSample) {
      const std::int64_t block = row_block(p.shape);
      for (const HeadSample& head : sample_rows(p, whole)) add_sampled_rows(head, block);
      heads_ = head_directions(def_);
      compute(def_, heads_, rows_);
      keys_ = sample_keys(p, in, whole);
    }
    dbias_ = expect_bias_gradient(def_, rows_);
    for (RowPart& part : rows_) part.results.ds = {};  // a matrix of scores
  }
  BatchReference(const BatchReference&) = delete;  // def_ refers to problem_
  BatchReference& operator=(const BatchReference&) = delete;

  std::int64_t first_b() const { return first_b_; }
  /// What the sinks' gradients of level full are made of.
  SinkRows sink_rows() const { return oracle::sink_rows(def_, first_b_, rows_); }

  /// `none`: checks of the whole problem that have judged nothing.
  Checks full(const Outputs& out, const Checks& none) const;
  /// The rows' statistics, where they are wanted for sinks, come into `stats`.
  Checks sample(const Outputs& out, bool wants_stats, const Checks& none,
                std::vector<SinkRows>& stats) const;

 private:
  void add_sampled_rows(const HeadSample& head, std::int64_t block) {
    for (std::size_t n = 0; n < head.rows.size(); ++n) {
      if (n % static_cast<std::size_t>(block) == 0) rows_.push_back({head.b, head.h, {}, {}});
      rows_.back().rows.push_back(head.rows[n]);
    }
  }
  /// What the group's rows pass on to gradients.
  std::vector<RowStats> sample_group(const HeadSample& head, const Outputs& out, bool wants_stats,
                                     Checks& checks) const;

  Problem problem_;
  std::int64_t first_b_;
  Definition def_;
  std::vector<RowPart> rows_;
  std::vector<ColumnPart> columns_;  // level full
  std::vector<BiasPart> dbias_;
  std::vector<HeadSample> keys_;  // level sample
  std::vector<HeadDirections> heads_;
};

Checks BatchReference::full(const Outputs& out, const Checks& none) const {
  Checks total = none;
  const auto row_parts = static_cast<std::int64_t>(rows_.size());
  const auto parts = row_parts + static_cast<std::int64_t>(columns_.size());
  std::vector<Checks> each(static_cast<std::size_t>(parts), none);
#pragma omp parallel for schedule(dynamic) if (worth_threads(def_.shape()))
  for (std::int64_t n = 0; n < parts; ++n) {
    if (interrupted()) continue;
    Checks& checks = each[static_cast<std::size_t>(n)];
    if (n < row_parts)
      check_rows(rows_[static_cast<std::size_t>(n)], out, checks);
    else
      check_columns(columns_[static_cast<std::size_t>(n - row_parts)], out, checks);
  }
  stop_if_interrupted();
  for (const Checks& checks : each) total.merge(checks);
  for (const BiasPart& part : dbias_) check_dbias(part, out, total);
  return total;
}

Checks BatchReference::sample(const Outputs& out, bool wants_stats, const Checks& none,
                              std::vector<SinkRows>& stats) const {
  Checks total = none;
  for (const RowPart& part : rows_) check_rows(part, out, total);
  for (const BiasPart& part : dbias_) check_dbias(part, out, total);
  check_exact(def_, out, total);
  const auto groups = static_cast<std::int64_t>(keys_.size());
  std::vector<Checks> each(keys_.size(), none);
  std::vector<std::vector<RowStats>> of_group(keys_.size());
#pragma omp parallel for schedule(dynamic) if (worth_threads(def_.shape()))
  for (std::int64_t n = 0; n < groups; ++n) {
    if (interrupted()) continue;
    of_group[static_cast<std::size_t>(n)] = sample_group(
        keys_[static_cast<std::size_t>(n)], out, wants_stats, each[static_cast<std::size_t>(n)]);
  }
  stop_if_interrupted();
  for (const Checks& checks : each) total.merge(checks);
  if (!wants_stats) return total;
  stats.push_back({&def_, first_b_, {}});
  for (const std::vector<RowStats>& group : of_group)
    stats.back().stats.insert(stats.back().stats.end(), group.begin(), group.end());
  return total;
}

std::vector<RowStats> BatchReference::sample_group(const HeadSample& head, const Outputs& out,
                                                   bool wants_stats, Checks& checks) const {
  if (!out.o.empty()) check_value_range(def_, out.o, head.b, head.h, checks.value_range);
  if (out.dk.empty() && out.dv.empty() && !wants_stats) return {};
  SampledGroup group{head.b, head.h, {}};
  for (const RowPart& part : rows_)
    if (part.b == head.b && def_.shape().kv_head(part.h) == head.h) group.rows.push_back(&part);
  std::vector<RowStats> stats = estimate_stats(def_, out, group);
  const ColumnPart part{
      head.b, head.h, head.rows,
      compute_columns(def_, heads_[static_cast<std::size_t>(head.b * def_.shape().h_kv + head.h)],
                      head.b, head.h, head.rows, stats)};
  check_columns(part, out, checks);
  if (!out.dv.empty()) {
    check_value_sums(def_, out.dv, group, stats, part, checks.value_sums);
    check_value_products(def_, out, group, part, checks.value_products);
  }
  if (!out.dq.empty() && !out.dk.empty())
    check_score_products(def_, out, group, part, checks.score_products);
  return stats;
}

}  // namespace

struct Reference::State {
  Problem problem;
  const Inputs* inputs;
  VerifyLevel level;
  ExtraRoundings rounds;
  std::vector<std::unique_ptr<const Inputs>> of_sequences;
  std::vector<std::unique_ptr<BatchReference>> parts;
  std::vector<std::int64_t> empty_sequences;
  Expected dsinks;  // level full

  State(const Problem& p, const Inputs& in, VerifyLevel l, ExtraRoundings r)
      : problem(p), inputs(&in), level(l), rounds(r) {
    if (p.shape.sequences == nullptr)
      parts.push_back(std::make_unique<BatchReference>(problem, in, level, rounds, p.shape, 0));
    else
      add_sequences();
    if (level != VerifyLevel::kFull || in.sinks.empty() || in.d_o.empty()) return;
    std::vector<SinkRows> rows;
    for (const auto& part : parts) rows.push_back(part->sink_rows());
    dsinks = expect_sink_gradients(rows);
  }

  void add_sequences() {
    const Shape& s = problem.shape;
    for (std::int64_t b = 0; b < s.b && level != VerifyLevel::kNone; ++b) {
      if (s.q_len_of(b) == 0 || s.kv_len_of(b) == 0) {
        empty_sequences.push_back(b);
        continue;
      }
      of_sequences.push_back(std::make_unique<const Inputs>(batch_element(problem, *inputs, b)));
      parts.push_back(std::make_unique<BatchReference>(sequence(problem, b), *of_sequences.back(),
                                                       level, rounds, s, b));
    }
  }

  /// What a part judges of `out`: all of it, or that of its sequence.
  Outputs outputs_of(const Outputs& out, std::int64_t b) const {
    return batch_element(const_cast<Outputs&>(out), b);  // only read
  }

  Checks judge(const Outputs& out) const;
};

Checks Reference::State::judge(const Outputs& out) const {
  const Checks none(problem);
  Checks total = none;
  std::vector<SinkRows> stats;
  const bool full = level == VerifyLevel::kFull, wants_stats = !out.dsinks.empty();
  for (const auto& part : parts) {
    const bool is_sequence = problem.shape.sequences != nullptr;
    const Outputs of_sequence = is_sequence ? outputs_of(out, part->first_b()) : Outputs{};
    const Outputs& own = is_sequence ? of_sequence : out;
    total.merge(full ? part->full(own, none) : part->sample(own, wants_stats, none, stats),
                part->first_b());
  }
  for (const std::int64_t b : empty_sequences) {
    Checks checks = none;
    check_empty_sequence(*inputs, outputs_of(out, b), checks);
    total.merge(checks, b);
  }
  if (!full) check_written(*inputs, out, total);
  if (!out.dsinks.empty()) check_sinks(full ? dsinks : expect_sink_gradients(stats), out, total);
  return total;
}

Reference::Reference(const Problem& p, const Inputs& in, VerifyLevel level, ExtraRoundings rounds)
    : state_(std::make_unique<State>(p, in, level, rounds)) {}
Reference::Reference(Reference&&) noexcept = default;
Reference& Reference::operator=(Reference&&) noexcept = default;
Reference::~Reference() = default;

VerifyLevel Reference::level() const { return state_->level; }

Verdict Reference::verify(const Outputs& out) const {
  const State& s = *state_;
  if (s.level == VerifyLevel::kNone) return {};
  reject_misfits(s.problem, *s.inputs, out);
  const bool columns = !out.dk.empty() || !out.dv.empty() || !out.dsinks.empty();
  if (s.level == VerifyLevel::kSample && columns && (out.o.empty() || out.lse.empty()))
    return Reference(s.problem, *s.inputs, VerifyLevel::kFull, s.rounds).verify(out);
  return s.judge(out).verdict(out, s.level);
}

Verdict verify(const Problem& p, const Inputs& in, const Outputs& out, VerifyLevel level,
               ExtraRoundings rounds) {
  return Reference(p, in, level, rounds).verify(out);
}

}  // namespace flashbench::oracle
