#include "paper/paper_kernel.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>

#include "core/visibility.h"
#include "core/work.h"
#include "kernel/by_sequence.h"
#include "paper/backward.h"
#include "paper/forward.h"

namespace flashbench::paper {
namespace {

constexpr std::int64_t kFloatsPerLine = 16;  // workers do not share cache lines

/// What one launch needs to know about its heads, tensors apart.
Head head_of(const Problem& p, const Execution& e) {
  const Shape& s = p.shape;
  Head head{s.q_len, s.kv_len, s.d, s.d_v(), p.softmax_scale(), visible_of(p)};
  head.q_block = e.q_block;
  head.kv_block = e.kv_block;
  head.modify = score_mod_of(p, 1);  // of a launch: that of the head
  return head;
}

std::int64_t workers(const Problem& p, const Execution& e) {
  return std::clamp<std::int64_t>(e.threads, 1, p.shape.b * p.shape.h);
}

/// Floats for each worker: enough for the larger of the two algorithms that run.
std::int64_t worker_floats(const Problem& p, const Execution& e) {
  const Head head = head_of(p, e);
  std::int64_t floats = forward_workspace(head);  // a backward's prepare() runs it too
  if (p.needs_gradients()) floats = std::max(floats, backward_workspace(head));
  return (floats + kFloatsPerLine - 1) / kFloatsPerLine * kFloatsPerLine;
}

/// The softmax of all rows: maxima, then sums.
std::size_t softmax_floats(const Problem& p) {
  return static_cast<std::size_t>(2 * p.shape.b * p.shape.h * p.shape.q_len);
}

std::size_t sink_gradients(const Problem& p) {
  const bool wanted = p.needs_gradients() && p.sinks != Sinks::kNone;
  return static_cast<std::size_t>(wanted ? p.shape.b * p.shape.h : 0);
}

/// Gradients of the bias of heads that share it, apart: workers take one K/V head each.
std::size_t bias_gradients(const Problem& p) {
  if (!p.needs_bias_gradient()) return 0;
  const Shape& s = p.shape;
  return static_cast<std::size_t>(s.b * s.h * s.q_len * s.kv_len);
}

/// FLOP of one launch; products with Q and dO run over whole blocks, the rest over visible pairs.
double flop(const Problem& p, const Execution& e, std::span<const std::uint8_t> key_mask) {
  double block_pairs = 0;
  for (std::int64_t b = 0; b < p.shape.b; ++b) {
    Head head = head_of(p, e);
    if (!key_mask.empty()) head.key_mask = key_mask.data() + b * p.shape.kv_len;
    block_pairs += executed_pairs(head) * static_cast<double>(p.shape.h);
  }
  const double pairs = count_visible(p, key_mask).pairs;
  const double d = static_cast<double>(p.shape.d), d_v = static_cast<double>(p.shape.d_v());
  const double forward_flop = 2 * (d * block_pairs + d_v * pairs);
  const double backward_flop = 2 * ((d + d_v) * block_pairs + (2 * d + d_v) * pairs);
  return p.pass == Pass::kForward    ? forward_flop
         : p.pass == Pass::kBackward ? backward_flop
                                     : forward_flop + backward_flop;
}

const float* row0(const Tensor& t, std::int64_t b, std::int64_t h) {
  return t.as<float>() + t.dims().index(b, h, 0, 0);
}
float* row0(Tensor& t, std::int64_t b, std::int64_t h) {
  return t.as<float>() + t.dims().index(b, h, 0, 0);
}

class PaperPlan final : public Plan {
 public:
  PaperPlan(const Problem& p, const Execution& e, const Inputs& in)
      : problem_(p),
        head_(head_of(p, e)),
        workers_(workers(p, e)),
        worker_floats_(worker_floats(p, e)),
        workspace_(static_cast<std::size_t>(workers_ * worker_floats_) * sizeof(float)),
        softmax_(softmax_floats(p)),
        dsinks_(sink_gradients(p)),
        dbias_(bias_gradients(p)),
        flop_(flop(p, e, in.key_mask)) {}

  void prepare(const Operands& io) override {
    if (problem_.pass == Pass::kBackward) run_forward(io, nullptr);
  }

  void launch(const Operands& io) override {
    if (problem_.pass != Pass::kBackward) run_forward(io, nullptr);
    if (problem_.pass != Pass::kForward) run_backward(io, nullptr);
  }

  std::size_t workspace_bytes() const override {
    return workspace_.bytes() + (softmax_.size() + dsinks_.size() + dbias_.size()) * sizeof(float);
  }
  double flop_executed() const override { return flop_; }
  std::vector<PhaseProfile::Row> profile(const Operands& io) override;
  std::vector<PhaseProfile> trace(const Operands& io, std::size_t events) override;

 private:
  Head head(const Inputs& in, std::int64_t b, std::int64_t h) const {
    Head head = head_;
    if (!in.key_mask.empty()) head.key_mask = in.key_mask.data() + b * problem_.shape.kv_len;
    if (!in.alibi_slopes.empty())
      head.modify = score_mod_of(
          problem_,
          static_cast<double>(in.alibi_slopes[static_cast<std::size_t>(b * problem_.shape.h + h)]));
    if (!in.bias.empty()) {
      const Dims& dims = in.bias.dims();
      head.bias = row0(in.bias, dims.b == 1 ? 0 : b, dims.h == 1 ? 0 : h);
    }
    return head;
  }
  float* workspace(int worker) {
    return workspace_.as<float>() + static_cast<std::int64_t>(worker) * worker_floats_;
  }
  void run_forward(const Operands& io, PhaseProfile* profile);
  void run_backward(const Operands& io, PhaseProfile* profile);

  Problem problem_;
  Head head_;
  std::int64_t workers_, worker_floats_;
  Buffer workspace_;
  void add_up_bias_gradients(Tensor& dbias) const;

  RowSoftmax<float> softmax(std::int64_t b, std::int64_t h) {
    const Shape& s = problem_.shape;
    float* const m = softmax_.data() + (b * s.h + h) * s.q_len;
    return {m, m + s.b * s.h * s.q_len};
  }

  std::vector<float> softmax_;  ///< [2, b, h, q_len]
  std::vector<float> dsinks_;   ///< [b, h]: batch elements apart, since workers take one each
  std::vector<float> dbias_;    ///< [b, h, q_len, kv_len]: likewise
  double flop_;
};

void PaperPlan::run_forward(const Operands& io, PhaseProfile* profile) {
  const Shape s = problem_.shape;
  const Inputs& in = *io.in;
  Outputs& out = *io.out;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(static_cast <int>(workers_))
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h = 0; h < s.h; ++h) {
      const int worker = omp_get_thread_num();
      const std::int64_t h_kv = s.kv_head(h);
      const Head one = head(in, b, h);
      forward<float>(one, row0(in.q, b, h), row0(in.k, b, h_kv), row0(in.v, b, h_kv),
                     row0(out.o, b, h), row0(out.lse, b, h), softmax(b, h), workspace(worker),
                     {profile, worker}, in.sinks.empty() ? nullptr : in.sinks.data() + h, one.bias);
    }
}

/// A K/V head's gradients are sums over its query heads, so one worker takes all of them.
void PaperPlan::run_backward(const Operands& io, PhaseProfile* profile) {
  const Shape s = problem_.shape;
  const Inputs& in = *io.in;
  Outputs& out = *io.out;
  std::fill(dsinks_.begin(), dsinks_.end(), 0.0f);
  std::fill(dbias_.begin(), dbias_.end(), 0.0f);
  const auto bias_gradient = [&](std::int64_t b, std::int64_t h) {
    return dbias_.empty() ? nullptr : dbias_.data() + (b * s.h + h) * s.q_len * s.kv_len;
  };
  const auto sink = [&](std::int64_t b, std::int64_t h) {
    return dsinks_.empty() ? Sink<float>{}
                           : Sink<float>{in.sinks.data() + h, dsinks_.data() + b * s.h + h};
  };
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(static_cast <int>(workers_))
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h_kv = 0; h_kv < s.h_kv; ++h_kv) {
      const int worker = omp_get_thread_num();
      float* dk = row0(out.dk, b, h_kv);
      float* dv = row0(out.dv, b, h_kv);
      std::fill(dk, dk + s.kv_len * s.d, 0.0f);
      std::fill(dv, dv + s.kv_len * s.d_v(), 0.0f);
      for (std::int64_t h = h_kv * s.group(); h < (h_kv + 1) * s.group(); ++h) {
        const Head one = head(in, b, h);
        backward<float>(one, row0(in.q, b, h), row0(in.k, b, h_kv), row0(in.v, b, h_kv),
                        row0(out.o, b, h), softmax(b, h), row0(in.d_o, b, h), row0(out.dq, b, h),
                        dk, dv, workspace(worker), {profile, worker}, sink(b, h),
                        {one.bias, bias_gradient(b, h)});
      }
    }
  if (!dbias_.empty()) add_up_bias_gradients(out.dbias);
  for (std::int64_t h = 0; h < out.dsinks.count(); ++h) {
    float sum = 0;
    for (std::int64_t b = 0; b < s.b; ++b) sum += dsinks_[static_cast<std::size_t>(b * s.h + h)];
    out.dsinks.as<float>()[h] = sum;
  }
}

/// Over the batch elements and heads that share the bias.
void PaperPlan::add_up_bias_gradients(Tensor& dbias) const {
  const Shape& s = problem_.shape;
  const Dims& dims = dbias.dims();
  const std::int64_t pairs = s.q_len * s.kv_len;
  std::fill_n(dbias.as<float>(), dbias.count(), 0.0f);
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t h = 0; h < s.h; ++h) {
      float* const to = row0(dbias, dims.b == 1 ? 0 : b, dims.h == 1 ? 0 : h);
      const float* const from = dbias_.data() + (b * s.h + h) * pairs;
      for (std::int64_t n = 0; n < pairs; ++n) to[n] += from[n];
    }
}

std::vector<PhaseProfile::Row> PaperPlan::profile(const Operands& io) {
  std::vector<PhaseProfile::Row> rows;
  for (const PhaseProfile& pass : trace(io, 0))
    for (PhaseProfile::Row& row : pass.rows()) rows.push_back(std::move(row));
  return rows;
}

std::vector<PhaseProfile> PaperPlan::trace(const Operands& io, std::size_t events) {
  std::vector<PhaseProfile> passes;
  const auto run = [&](const auto& names, auto pass) {
    const std::vector<std::string> phases(std::begin(names), std::end(names));
    PhaseProfile& profile = passes.emplace_back(phases, static_cast<int>(workers_), events);
    // One workspace serves every phase in turn; it is shown where it is filled first.
    if (passes.size() == 1) profile.add_bytes(0, workspace_bytes());
    pass(&profile);
  };
  if (problem_.pass != Pass::kBackward)
    run(kForwardPhaseNames, [&](PhaseProfile* p) { run_forward(io, p); });
  if (problem_.pass != Pass::kForward)
    run(kBackwardPhaseNames, [&](PhaseProfile* p) { run_backward(io, p); });
  return passes;
}

class PaperKernel final : public Kernel {
 public:
  const KernelInfo& info() const override {
    static const KernelInfo kInfo{
        "paper", AttentionType::kPaper,
        "FlashAttention (Dao et al. 2022), Algorithms 1, 2 and 4 as written, scalar f32"};
    return kInfo;
  }

  Supports supports() const override {
    return {.features = {Feature::kGradients, Feature::kCausal, Feature::kKeyMask, Feature::kWindow,
                         Feature::kSoftcap, Feature::kAlibi, Feature::kBias, Feature::kBiasGradient,
                         Feature::kSinks, Feature::kRagged, Feature::kValueDim},
            .dtypes = {Dtype::kF32},
            .max_d = kMaxHeadDim};
  }

  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override {
    if (p.shape.sequences != nullptr)
      return sum_over_plans(p, SharedPlans::kYes,
                            [&](const Problem& one) { return workspace_bytes(one, e); });
    const auto floats = static_cast<std::size_t>(workers(p, e) * worker_floats(p, e));
    return (floats + softmax_floats(p) + sink_gradients(p) + bias_gradients(p)) * sizeof(float);
  }

  double predicted_flop(const Problem& p, const Execution& e) const override {
    if (p.shape.sequences == nullptr) return flop(p, e, {});
    return sum_over_sequences(p, [&](const Problem& one) { return flop(one, e, {}); });
  }

  std::unique_ptr<Plan> plan(const Problem& p, const Execution& e,
                             const Inputs& in) const override {
    const auto plan = [e](const Problem& one, const Inputs& in_of_one) {
      return std::make_unique<PaperPlan>(one, e, in_of_one);
    };
    if (p.shape.sequences != nullptr) return plan_by_sequence(p, in, SharedPlans::kYes, plan);
    return plan(p, in);
  }

 private:
  std::optional<Rejection> rejects(const Problem&, const Execution& e) const override {
    if (e.q_block < 1 || e.kv_block < 1)
      return Rejection{
          Rejection::Kind::kInvalid,
          fmt::format("--q_block {} and --kv_block {} must be at least 1", e.q_block, e.kv_block)};
    return std::nullopt;
  }
};

}  // namespace

const Kernel& paper_kernel() {
  static const PaperKernel kKernel;
  return kKernel;
}

}  // namespace flashbench::paper
