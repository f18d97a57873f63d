#include "oracle/autodiff.h"

#include <adolc/adolc.h>
#include <fmt/format.h>

#include <mutex>
#include <stdexcept>
#include <vector>

#include "core/passive.h"
#include "core/score_mod.h"
#include "core/visibility.h"
#include "oracle/normal_attention.h"
#include "paper/forward.h"

template <>
struct flashbench::Passive<adouble> {
  static adouble of(const adouble& x) { return adouble(x.value()); }
};

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

/// O of query head g of the group.
void run(const Group& group, std::int64_t g, Formulation formulation, const adouble* q,
         const Actives& k, const Actives& v, const adouble* sink, const adouble* bias, Actives& o) {
  const Shape& s = group.shape();
  o.resize(static_cast<std::size_t>(s.q_len * s.d_v()));
  if (formulation == Formulation::kFlash) {
    const paper::Head blocked = paper_head(group, g, kBlock);
    Actives lse(static_cast<std::size_t>(s.q_len));
    Actives workspace(static_cast<std::size_t>(paper::forward_workspace(blocked)));
    Actives m(lse.size()), l(lse.size());
    paper::forward<adouble>(blocked, q, k.data(), v.data(), o.data(), lse.data(),
                            {m.data(), l.data()}, workspace.data(), {}, sink, bias);
    return;
  }
  Actives p(static_cast<std::size_t>(s.kv_len));
  for (std::int64_t i = 0; i < s.q_len; ++i)
    normal_row<adouble>(group.head(g), i, q + i * s.d, k.data(), v.data(), sink,
                        bias == nullptr ? nullptr : bias + i * s.kv_len, o.data() + i * s.d_v(),
                        p.data());
}

/// Buffers that hold the whole tape, so that ADOL-C opens no files.
void start_tape(double operations) {
  const auto size = [&](double per_operation) {
    return static_cast<uint>(operations * per_operation + (1 << 16));
  };
  trace_on(kTape, /*keepTaylors=*/0, size(1.5), size(5), size(1.5), size(1.5));
}

/// Records loss = Σ dO∘O; returns the point, in order of Q, K, V, bias, sinks.
Doubles record(const Group& group, Formulation formulation) {
  const Shape& s = group.shape();
  const std::int64_t q_count = s.q_len * s.d, o_count = s.q_len * s.d_v();
  Doubles point;
  Actives q, k, v, bias, sinks, o;
  start_tape(tape_operations(s, kBlock));
  declare_independent(group.q, group.heads() * q_count, q, point);
  declare_independent(group.k, s.kv_len * s.d, k, point);
  declare_independent(group.v, s.kv_len * s.d_v(), v, point);
  const std::int64_t pairs = s.q_len * s.kv_len;
  if (group.bias != nullptr) declare_independent(group.bias, group.heads() * pairs, bias, point);
  if (group.sinks != nullptr) declare_independent(group.sinks, group.heads(), sinks, point);
  adouble loss = 0;
  for (std::int64_t g = 0; g < group.heads(); ++g) {
    run(group, g, formulation, q.data() + g * q_count, k, v,
        sinks.empty() ? nullptr : sinks.data() + g,
        bias.empty() ? nullptr : bias.data() + g * pairs, o);
    for (std::int64_t i = 0; i < o_count; ++i)
      loss += group.d_o[g * o_count + i] * o[static_cast<std::size_t>(i)];
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

paper::Head paper_head(const Group& group, std::int64_t g, std::int64_t block) {
  const Problem& p = group.def->problem();
  const Shape& s = p.shape;
  paper::Head head{s.q_len, s.kv_len, s.d, s.d_v(), p.softmax_scale(), visible_of(p)};
  const std::vector<std::uint8_t>& key_mask = group.def->inputs().key_mask;
  if (!key_mask.empty()) head.key_mask = key_mask.data() + group.b * s.kv_len;
  head.q_block = head.kv_block = block;
  head.modify = score_mod_of(p, group.def->alibi_slope(group.b, group.head(g).h));
  if (group.hides != nullptr) head.bias = group.hides + g * s.q_len * s.kv_len;
  return head;
}

double tape_operations(const Shape& s, std::int64_t kv_block) {
  const double d = static_cast<double>(s.d + s.d_v()) / 2;
  const double rows = static_cast<double>(s.group() * s.q_len);
  const double keys = static_cast<double>(s.kv_len);
  const double steps =
      keys / static_cast<double>(std::min(kv_block, s.kv_len)) + 1;  // renormalisations of O
  return rows * keys * (2 * d + 16) + rows * steps * (2 * d + 16) +
         static_cast<double>(s.group()) * keys * 2 * d + 8 * d * (rows + keys);
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
  const Shape& s = group.shape();
  GroupGradients g;
  auto next = gradients.begin();
  const auto take = [&](std::int64_t count, Doubles& to) {
    to.assign(next, next + static_cast<std::ptrdiff_t>(count));
    next += static_cast<std::ptrdiff_t>(count);
  };
  take(group.heads() * s.q_len * s.d, g.dq);
  take(s.kv_len * s.d, g.dk);
  take(s.kv_len * s.d_v(), g.dv);
  if (group.bias != nullptr) take(group.heads() * s.q_len * s.kv_len, g.dbias);
  if (group.sinks != nullptr) take(group.heads(), g.dsinks);
  return g;
}

}  // namespace flashbench::oracle
