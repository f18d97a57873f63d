#include "paper/paper_kernel.h"

#include <fmt/format.h>
#include <omp.h>

#include <limits>

#include "core/buffer.h"
#include "core/mask.h"
#include "paper/flash_attention_1.h"

namespace flashbench::paper {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Sizes of one problem's workspace: per thread, the on-chip blocks and two rows of q_len (m and l,
/// or D). One list for the prediction and for the allocation.
struct Layout {
  Head head;
  std::size_t threads;
  bool gradients;

  Layout(const Problem& p, const Execution& e)
      : head{p.shape.q_len,
             p.shape.kv_len,
             p.shape.d,
             p.causal,
             nullptr,
             std::min(e.q_block, p.shape.q_len),
             std::min(e.kv_block, p.shape.kv_len)},
        threads(static_cast<std::size_t>(e.threads)),
        gradients(p.needs_gradients()) {}

  std::size_t chip_floats() const {
    return static_cast<std::size_t>(OnChip<float>::count(head, gradients));
  }
  std::size_t thread_bytes() const {
    return (chip_floats() + 2 * static_cast<std::size_t>(head.q_len)) * sizeof(float);
  }
};

class PaperPlan final : public Plan {
 public:
  PaperPlan(const Problem& p, const Execution& e, const Inputs& in)
      : problem_(p), layout_(p, e), visible_(count_visible_pairs(p, in)) {
    for (std::size_t t = 0; t < layout_.threads; ++t)
      workspace_.emplace_back(layout_.thread_bytes());
  }

  void prepare(const Operands& io) override {
    if (problem_.pass == Pass::kBackward) run_forward(io, nullptr);
  }

  void launch(const Operands& io) override { run(io, nullptr, nullptr); }

  std::size_t workspace_bytes() const override { return layout_.threads * layout_.thread_bytes(); }

  /// Both score products run over every pair; the rest runs over the visible ones.
  double flop_executed() const override {
    const Shape& s = problem_.shape;
    const double d = static_cast<double>(s.d);
    const double all = static_cast<double>(s.b * s.h * s.q_len) * static_cast<double>(s.kv_len);
    const double forward = 2 * d * (all + visible_);
    const double backward = 2 * d * (2 * all + 3 * visible_);
    return (problem_.pass != Pass::kBackward ? forward : 0.0) +
           (problem_.pass != Pass::kForward ? backward : 0.0);
  }

  std::vector<PhaseProfile::Row> profile(const Operands& io) override {
    const int threads = static_cast<int>(layout_.threads);
    PhaseProfile forward({"FlashAttention-1, Algorithm 1"}, threads);
    PhaseProfile backward({"FlashAttention-1, Algorithm 4"}, threads);
    run(io, &forward, &backward);
    std::vector<PhaseProfile::Row> rows;
    if (problem_.pass != Pass::kBackward) rows.push_back(forward.rows().front());
    if (problem_.pass != Pass::kForward) rows.push_back(backward.rows().front());
    rows.front().bytes = workspace_bytes();
    return rows;
  }

 private:
  static double count_visible_pairs(const Problem& p, const Inputs& in) {
    const Shape& s = p.shape;
    double pairs = 0;
    for (const Visibility& v : visibilities(in.key_mask, p.causal, s.b, s.q_len, s.kv_len))
      for (std::int64_t q = 0; q < s.q_len; ++q) pairs += static_cast<double>(v.visible(q) * s.h);
    return pairs;
  }

  void run(const Operands& io, PhaseProfile* forward, PhaseProfile* backward) {
    if (problem_.pass != Pass::kBackward) run_forward(io, forward);
    if (problem_.pass != Pass::kForward) run_backward(io, backward);
  }

  Head head_of(const Inputs& in, std::int64_t b) const {
    Head head = layout_.head;
    if (!in.key_mask.empty()) head.key_mask = in.key_mask.data() + b * head.kv_len;
    return head;
  }
  float* chip_of(int thread) { return workspace_[static_cast<std::size_t>(thread)].as<float>(); }
  float* rows_of(int thread) { return chip_of(thread) + layout_.chip_floats(); }

  void run_forward(const Operands& io, PhaseProfile* profile) {
    const Shape& s = problem_.shape;
    const float scale = static_cast<float>(problem_.softmax_scale());
    const Inputs& in = *io.in;
    Outputs& out = *io.out;
#pragma omp parallel for num_threads(static_cast <int>(layout_.threads)) schedule(dynamic, 1)
    for (std::int64_t i = 0; i < s.b * s.h; ++i) {
      const int thread = omp_get_thread_num();
      const PhaseTimer timer(profile, thread, 0);
      const std::int64_t b = i / s.h, h = i % s.h;
      const Head head = head_of(in, b);
      const std::int64_t query = out.lse.dims().index(b, h, 0, 0);
      const std::int64_t key = in.k.dims().index(b, s.kv_head(h), 0, 0);
      float* m = rows_of(thread);
      float* l = m + s.q_len;
      forward(head, scale, in.q.as<float>() + query * s.d, in.k.as<float>() + key,
              in.v.as<float>() + key, out.o.as<float>() + query * s.d, m, l,
              OnChip<float>::carve(chip_of(thread), head, layout_.gradients));
      for (std::int64_t q = 0; q < s.q_len; ++q)
        out.lse.as<float>()[query + q] = l[q] == 0.0f ? -kInf : m[q] + std::log(l[q]);
    }
  }

  /// A K/V head's query heads add to the same dK and dV: one thread walks over them.
  void run_backward(const Operands& io, PhaseProfile* profile) {
    const Shape& s = problem_.shape;
    const float scale = static_cast<float>(problem_.softmax_scale());
    const Inputs& in = *io.in;
    Outputs& out = *io.out;
#pragma omp parallel for num_threads(static_cast <int>(layout_.threads)) schedule(dynamic, 1)
    for (std::int64_t i = 0; i < s.b * s.h_kv; ++i) {
      const int thread = omp_get_thread_num();
      const PhaseTimer timer(profile, thread, 0);
      const std::int64_t b = i / s.h_kv, kv_head = i % s.h_kv;
      const Head head = head_of(in, b);
      const std::int64_t key = in.k.dims().index(b, kv_head, 0, 0);
      std::fill_n(out.dk.as<float>() + key, s.kv_len * s.d, 0.0f);
      std::fill_n(out.dv.as<float>() + key, s.kv_len * s.d, 0.0f);
      for (std::int64_t h = kv_head * s.group(); h < (kv_head + 1) * s.group(); ++h) {
        const std::int64_t row = out.lse.dims().index(b, h, 0, 0), query = row * s.d;
        std::fill_n(out.dq.as<float>() + query, s.q_len * s.d, 0.0f);
        backward(head, scale, in.q.as<float>() + query, in.k.as<float>() + key,
                 in.v.as<float>() + key, out.o.as<float>() + query, in.d_o.as<float>() + query,
                 out.lse.as<float>() + row, rows_of(thread), out.dq.as<float>() + query,
                 out.dk.as<float>() + key, out.dv.as<float>() + key,
                 OnChip<float>::carve(chip_of(thread), head, layout_.gradients));
      }
    }
  }

  Problem problem_;
  Layout layout_;
  double visible_;
  std::vector<Buffer> workspace_;
};

class PaperKernel final : public Kernel {
 public:
  const KernelInfo& info() const override {
    static const KernelInfo info{
        "paper", AttentionType::kPaper, Backend::kCpu,
        "FlashAttention-1 as written (Algorithms 1 and 4); scalar C++, f32"};
    return info;
  }

  std::optional<Rejection> rejects(const Problem& p, const Execution& e) const override {
    if (auto bad = invalid(p)) return bad;
    if (p.dtype != Dtype::kF32)
      return Rejection{fmt::format(
          "type paper is f32 only, not {}: it shows the algorithm as written", name(p.dtype))};
    if (e.q_block < 1 || e.kv_block < 1)
      return Rejection{fmt::format("--q_block and --kv_block must be at least 1, got {} and {}",
                                   e.q_block, e.kv_block)};
    return std::nullopt;
  }

  std::size_t workspace_bytes(const Problem& p, const Execution& e) const override {
    const Layout layout(p, e);
    return layout.threads * layout.thread_bytes();
  }

  double predicted_flop(const Problem& p, const Execution& e) const override {
    return PaperPlan(p, {.threads = 0, .q_block = e.q_block, .kv_block = e.kv_block}, {})
        .flop_executed();
  }

  std::unique_ptr<Plan> plan(const Problem& p, const Execution& e,
                             const Inputs& in) const override {
    return std::make_unique<PaperPlan>(p, e, in);
  }
};

}  // namespace

const Kernel& paper_kernel() {
  static const PaperKernel kernel;
  return kernel;
}

}  // namespace flashbench::paper
