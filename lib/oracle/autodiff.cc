#include "oracle/autodiff.h"

#include <adolc/adolc.h>
#include <fmt/format.h>

#include <mutex>
#include <stdexcept>
#include <vector>

#include "oracle/normal_attention.h"
#include "paper/forward.h"

namespace flashbench::oracle {
namespace {

constexpr short kTape = 1;

using Actives = std::vector<adouble>;

/// Makes each element of x an independent variable of the tape, and notes its value.
void declare_independent(const double* x, std::int64_t count, Actives& active, Doubles& point) {
  active.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) active[static_cast<std::size_t>(i)] <<= x[i];
  point.insert(point.end(), x, x + count);
}

/// Small, so that cases of any size have several.
constexpr std::int64_t kBlock = 16;

/// O of one query head.
void run(const Group& group, Formulation formulation, const adouble* q, const Actives& k,
         const Actives& v, Actives& o) {
  const LiteralHead& head = group.head;
  o.resize(static_cast<std::size_t>(head.q_len * head.d));
  if (formulation == Formulation::kFlash) {
    const paper::Head blocked = paper_head(group, kBlock);
    Actives lse(static_cast<std::size_t>(head.q_len));
    Actives workspace(static_cast<std::size_t>(paper::forward_workspace(blocked)));
    paper::forward<adouble>(blocked, q, k.data(), v.data(), o.data(), lse.data(), workspace.data());
    return;
  }
  Actives p(static_cast<std::size_t>(head.kv_len));
  for (std::int64_t i = 0; i < head.q_len; ++i)
    normal_row<adouble>(head, i, q + i * head.d, k.data(), v.data(), o.data() + i * head.d,
                        p.data());
}

/// Buffers that hold the whole tape, so that ADOL-C opens no files.
void start_tape(double operations) {
  const auto size = [&](double per_operation) {
    return static_cast<uint>(operations * per_operation + (1 << 16));
  };
  trace_on(kTape, /*keepTaylors=*/0, size(1.5), size(5), size(1.5), size(1.5));
}

/// Records loss = Σ dO∘O; returns the point, in order of Q, K, V.
Doubles record(const Group& group, Formulation formulation) {
  const LiteralHead& head = group.head;
  const std::int64_t q_count = head.q_len * head.d, kv_count = head.kv_len * head.d;
  Doubles point;
  Actives q, k, v, o;
  start_tape(tape_operations(head, group.heads, kBlock));
  declare_independent(group.q, group.heads * q_count, q, point);
  declare_independent(group.k, kv_count, k, point);
  declare_independent(group.v, kv_count, v, point);
  adouble loss = 0;
  for (std::int64_t g = 0; g < group.heads; ++g) {
    run(group, formulation, q.data() + g * q_count, k, v, o);
    for (std::int64_t i = 0; i < q_count; ++i)
      loss += group.d_o[g * q_count + i] * o[static_cast<std::size_t>(i)];
  }
  double value = 0;
  loss >>= value;
  trace_off();
  return point;
}

void check_in_memory() {
  size_t stats[STAT_SIZE];
  tapestats(kTape, stats);
  if (stats[OP_FILE_ACCESS] != 0 || stats[LOC_FILE_ACCESS] != 0 || stats[VAL_FILE_ACCESS] != 0)
    throw std::runtime_error(
        fmt::format("the tape of {} operations did not fit in its buffers", stats[NUM_OPERATIONS]));
}

}  // namespace

paper::Head paper_head(const Group& group, std::int64_t block) {
  const LiteralHead& head = group.head;
  return {head.q_len, head.kv_len, head.d, head.scale, group.mask, head.key_mask, block, block};
}

double tape_operations(const LiteralHead& head, std::int64_t heads, std::int64_t kv_block) {
  const double d = static_cast<double>(head.d);
  const double rows = static_cast<double>(heads * head.q_len);
  const double keys = static_cast<double>(head.kv_len);
  const double steps =
      keys / static_cast<double>(std::min(kv_block, head.kv_len)) + 1;  // renormalisations of O
  return rows * keys * (2 * d + 16) + rows * steps * (2 * d + 16) +
         static_cast<double>(heads) * keys * 2 * d + 8 * d * (rows + keys);
}

GroupGradients differentiate(const Group& group, Formulation formulation) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  const Doubles point = record(group, formulation);
  check_in_memory();
  Doubles gradients(point.size());
  const int status =
      gradient(kTape, static_cast<int>(point.size()), point.data(), gradients.data());
  removeTape(kTape, ADOLC_REMOVE_COMPLETELY);
  if (status < 0)
    throw std::runtime_error(
        fmt::format("automatic differentiation failed: ADOL-C returned {}", status));
  const auto kv_count = static_cast<std::ptrdiff_t>(group.head.kv_len * group.head.d);
  GroupGradients g;
  g.dv.assign(gradients.end() - kv_count, gradients.end());
  g.dk.assign(gradients.end() - 2 * kv_count, gradients.end() - kv_count);
  g.dq.assign(gradients.begin(), gradients.end() - 2 * kv_count);
  return g;
}

}  // namespace flashbench::oracle
