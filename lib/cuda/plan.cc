#include "cuda/plan.h"

#include <algorithm>
#include <map>

#include "cuda/contract/element.h"
#include "cuda/device/device_tensor.h"
#include "cuda/kept_keys.h"
#include "cuda/need.h"
#include "cuda/normal/normal_products.h"
#include "cuda/score_operands.h"
#include "cuda/sequence_lists.h"

namespace flashbench::cuda {
namespace {

class CudaPlan final : public Plan {
 public:
  CudaPlan(Device& device, const KernelFamily& family, const Problem& p, const Inputs& in)
      : device_(device),
        family_(family),
        problem_(p),
        mask_(visible_of(p)),
        sees_(visibilities(in.key_mask, p)),
        keeps_all_(keeps_all(sees_)),
        extent_(extent_of(p, sees_, device.info())),
        launches_(timed_launches(family, p.pass, extent_)),
        score_operands_(device, family, p),
        lists_(device, p, all_launches(family, p, extent_)) {
    allocate();
    describe();
  }

  void prepare(const Operands& io) override {
    q_.write(io.in->q);
    // A product of all pairs meets hidden keys too, and 0 · NaN is NaN: they are zero on the
    // device.
    std::vector<std::uint8_t> kept;
    if (materialises(family_) && !keeps_all_) kept = kept_bytes(sees_, problem_.shape.kv_len);
    k_.write(io.in->k, kept);
    v_.write(io.in->v, kept);
    score_operands_.prepare(*io.in);
    o_.poison();
    device_.poison(lse_.address(), lse_.bytes());
    if (problem_.needs_gradients()) {
      d_o_.write(io.in->d_o);
      for (DeviceTensor* t : {&dq_, &dk_, &dv_}) t->poison();
    }
    if (problem_.pass == Pass::kBackward)
      for (const Launch& l : family_.forward(extent_)) run(l);
    device_.take_counts();
  }

  void launch(const Operands&) override {
    if (problem_.needs_gradients()) zero_sums();
    for (const Launch& l : launches_) run(l);
  }

  void wait() override { device_.wait(); }

  void collect(const Operands& io) override {
    device_.wait();
    o_.read(io.out->o);
    device_.read(io.out->lse.data(), lse_.address(), lse_.bytes());
    if (!problem_.needs_gradients()) return;
    dq_.read(io.out->dq);
    dk_.read(io.out->dk);
    dv_.read(io.out->dv);
    score_operands_.collect(*io.out);
  }

  std::size_t workspace_bytes() const override {
    return device_need(family_, problem_, device_.product_scratch_bytes(), device_.info())
        .workspace;
  }

  double flop_executed() const override { return cuda::flop_executed(family_, problem_, sees_); }

  std::vector<PhaseProfile::Row> profile(const Operands& io) override {
    if (device_.info().emulated) {
      device_.take_counts();
      launch(io);
      return device_.take_counts();
    }
    std::vector<PhaseProfile::Row> rows;
    const auto clocked = [&](const std::string& phase, double flop = 0) {
      device_.mark();
      rows.push_back({.phase = phase, .calls = 1, .cost = {.flop = flop}});
    };
    device_.mark_first();
    if (problem_.needs_gradients()) {
      zero_sums();
      clocked("zero");
    }
    for (const Launch& l : launches_) {
      run(l);
      if (l.product == Product::kNone) {
        clocked(l.phase);
      } else {
        const Gemm g = gemm_of(l.product, argument_);
        clocked(g.name, g.flop());
      }
    }
    const std::vector<double> intervals_s = device_.intervals_s();
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].seconds = intervals_s[i];
    return rows;
  }

 private:
  void run(const Launch& l) {
    if (l.grid_x == 0) return;  // of sequences that have nothing to launch for
    if (l.list != ListOf::kNone) return device_.launch(l, lists_.argument(argument_, l));
    if (l.box_queries > 0) return device_.launch(l, boxed(l));
    if (l.product == Product::kNone) return device_.launch(l, argument_);
    Gemm g = gemm_of(l.product, argument_);
    g.scratch = product_scratch_.address();
    g.scratch_bytes = product_scratch_.bytes();
    device_.multiply(g);
  }

  /// The argument with tensor maps, made once for each launch.
  const BoxedAttention& boxed(const Launch& l) {
    const auto [at, is_new] = boxed_.try_emplace(l.entry);
    BoxedAttention& x = at->second;
    if (!is_new) return x;
    const Shape& s = problem_.shape;
    const auto queries = static_cast<std::uint32_t>(l.box_queries),
               keys = static_cast<std::uint32_t>(l.box_keys);
    x.a = argument_;
    x.q = map_of(x.a.q, s.q_dims(), queries);
    Dims k_dims = s.k_dims(), v_dims = s.v_dims();
    k_dims.rows = v_dims.rows = x.a.kv_len;
    x.k = map_of(padded(problem_) ? x.a.packed_k : x.a.k, k_dims, keys);
    x.v = map_of(padded(problem_) ? x.a.packed_v : x.a.v, v_dims, keys);
    if (problem_.needs_gradients()) x.d_o = map_of(x.a.d_o, s.o_dims(), queries);
    x.heads_at_once = static_cast<std::int32_t>(l.heads_at_once);
    return x;
  }

  TensorMap map_of(const Rows& rows, const Dims& dims, std::uint32_t box_rows) {
    const auto size = [](std::int64_t n) { return static_cast<std::uint32_t>(n); };
    const auto bytes = [](std::int64_t n) { return 2 * static_cast<std::uint64_t>(n); };
    return device_.tensor_map({reinterpret_cast<Address>(rows.data),
                               {size(dims.d), size(dims.rows), size(dims.h), size(dims.b)},
                               {bytes(rows.stride_row), bytes(rows.stride_h), bytes(rows.stride_b)},
                               box_rows});
  }

  void allocate() {
    const Shape& s = problem_.shape;
    const Dtype t = problem_.dtype, kv = problem_.kv_dtype();
    q_ = {device_, t, s.q_dims(), "q"};
    k_ = {device_, kv, s.k_dims(), "k"};
    v_ = {device_, kv, s.v_dims(), "v"};
    o_ = {device_, t, s.o_dims(), "o"};
    lse_ = {device_, rows_bytes(problem_), "lse"};
    if (problem_.needs_gradients()) {
      d_o_ = {device_, t, s.o_dims(), "do"};
      dq_ = {device_, t, s.q_dims(), "dq"};
      dk_ = {device_, kv, s.k_dims(), "dk"};
      dv_ = {device_, kv, s.v_dims(), "dv"};
      if (!materialises(family_))
        for (const auto& [buffer, name] :
             {std::pair{&row_max_, "row maxima"}, {&row_log2_sum_, "row sums"}, {&delta_, "delta"}})
          *buffer = {device_, rows_bytes(problem_), name};
    }
    if (const auto bytes = family_workspace_bytes(family_, problem_, device_.info()); bytes > 0) {
      workspace_ = {device_, bytes, "workspace"};
      device_.zero(workspace_.address(), workspace_.bytes());
    }
    if (packed_bytes(family_, problem_) > 0) {
      packed_k_ = {device_, kv, s.k_dims(), "packed k"};
      packed_v_ = {device_, kv, s.v_dims(), "packed v"};
    }
    if (materialises(family_))
      allocate_scores();
    else if (padded(problem_))
      write_kept_tables();
  }

  void allocate_scores() {
    scores_ = {device_, scores_bytes(problem_), "scores"};
    if (problem_.needs_gradients())
      score_gradients_ = {device_, scores_bytes(problem_), "score gradients"};
    if (const std::size_t bytes = device_.product_scratch_bytes(); bytes > 0)
      product_scratch_ = {device_, bytes, "cuBLAS"};
    if (padded(problem_)) write_key_mask();
  }

  void write_key_mask() {
    const std::vector<std::uint8_t> mask = kept_bytes(sees_, key_mask_stride(problem_));
    key_mask_ = {device_, mask.size(), "key mask"};
    device_.write(key_mask_.address(), mask.data(), mask.size());
  }

  void write_kept_tables() {
    const auto [kept, before] = kept_tables(sees_, problem_.shape.kv_len);
    kept_ = {device_, kept.size() * sizeof kept[0], "kept"};
    kept_before_ = {device_, before.size() * sizeof before[0], "kept_before"};
    device_.write(kept_.address(), kept.data(), kept_.bytes());
    device_.write(kept_before_.address(), before.data(), kept_before_.bytes());
  }

  void describe() {
    const Shape& s = problem_.shape;
    Attention& a = argument_;
    a.q = q_.rows();
    a.k = k_.rows();
    a.v = v_.rows();
    a.o = o_.rows();
    a.lse = lse_.as<float>();
    if (problem_.needs_gradients()) {
      a.d_o = d_o_.rows();
      a.dq = dq_.rows();
      a.dk = dk_.rows();
      a.dv = dv_.rows();
    }
    if (packed_bytes(family_, problem_) > 0) {
      a.packed_k = packed_k_.rows();
      a.packed_v = packed_v_.rows();
    }
    a.row_max = row_max_.as<float>();
    a.row_log2_sum = row_log2_sum_.as<float>();
    a.delta = delta_.as<float>();
    a.kept = kept_.as<std::int32_t>();
    a.kept_before = kept_before_.as<std::int32_t>();
    a.scores = scores_.as<float>();
    a.score_gradients = score_gradients_.as<float>();
    a.scores_stride = scores_stride(problem_);
    a.workspace = workspace_.as<void>();
    a.key_mask = key_mask_.as<std::uint8_t>();
    a.key_mask_stride = key_mask_stride(problem_);
    a.b = static_cast<std::int32_t>(s.b);
    a.h = static_cast<std::int32_t>(s.h);
    a.h_kv = static_cast<std::int32_t>(s.h_kv);
    a.group = static_cast<std::int32_t>(s.group());
    a.q_len = static_cast<std::int32_t>(s.q_len);
    a.kv_len = static_cast<std::int32_t>(s.kv_len);
    a.d = static_cast<std::int32_t>(s.d);
    a.d_v = static_cast<std::int32_t>(s.d_v());
    a.mask = mask_;
    a.element = element_of(problem_.dtype);
    a.scale = static_cast<float>(problem_.softmax_scale());
    score_operands_.describe(a);
    if (s.sequences != nullptr) return describe_as_one_sequence(problem_, a);
    if (!materialises(family_) && !padded(problem_)) leave_out_unseen(mask_.keys(0, a.q_len));
  }

  /// Keys that no query sees lie at the ends: to the kernels K and V begin and end with those that
  /// some query does. (Where there is padding, the tables of kept keys leave them out.)
  void leave_out_unseen(KeyRange seen) {
    if (seen.empty()) return;  // then no kernel reads a key that counts, and the host zeroes dK, dV
    const auto element_bytes = static_cast<std::int64_t>(size_bytes(problem_.kv_dtype()));
    Attention& a = argument_;
    for (Rows* rows : {&a.k, &a.v, &a.dk, &a.dv})
      if (rows->data != nullptr)
        rows->data =
            static_cast<std::byte*>(rows->data) + seen.begin * rows->stride_row * element_bytes;
    a.mask = a.mask.block(0, a.q_len, seen.begin, seen.size());
    a.kv_len = seen.size();
  }

  /// What the backward's kernels add to, or leave out.
  void zero_sums() {
    if (materialises(family_) || (!padded(problem_) && keeps_all_)) return;
    dk_.zero();
    dv_.zero();
  }

  Device& device_;
  const KernelFamily& family_;
  const Problem problem_;
  const Visible mask_;
  const std::vector<Visibility> sees_;
  const bool keeps_all_;
  const Extent extent_;
  const std::vector<Launch> launches_;  // of the timed passes
  ScoreOperands score_operands_;
  const SequenceLists lists_;
  DeviceTensor q_, k_, v_, o_, d_o_, dq_, dk_, dv_, packed_k_, packed_v_;
  DeviceBuffer lse_, row_max_, row_log2_sum_, delta_, kept_, kept_before_;
  DeviceBuffer scores_, score_gradients_, key_mask_, product_scratch_;
  DeviceBuffer workspace_;
  Attention argument_{};
  std::map<std::string, BoxedAttention> boxed_;  // by entry
};

}  // namespace

std::unique_ptr<Plan> make_plan(Device& device, const KernelFamily& family, const Problem& p,
                                const Inputs& in) {
  return std::make_unique<CudaPlan>(device, family, p, in);
}

}  // namespace flashbench::cuda
