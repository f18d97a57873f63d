// Measures the accept rule: error over expected noise of correct kernels, every one that this build
// has, and of a plain attention with planted errors. Writes CSV to stdout;
// scripts/plots/plot_calibration.py draws it. `flashbench_calibrate [--quick]`. Exits 1 when a
// correct result is refused.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <string>

#include "oracle/verify.h"
#include "registry/registry.h"
#include "tests/oracle/host_attention.h"

namespace flashbench {
namespace {

// Small next to a tile, ragged, long, wide; decode; more queries than keys; groups.
constexpr Shape kShapes[] = {
    {1, 2, 2, 700, 700, 64}, {1, 2, 2, 300, 300, 128}, {1, 2, 2, 128, 160, 512},
    {1, 2, 2, 64, 64, 32},   {1, 4, 2, 1, 513, 64},    {2, 6, 2, 65, 130, 40},
    {1, 2, 2, 200, 70, 16},  {1, 2, 2, 90, 90, 1},     {1, 1, 1, 48, 64, 1024},
    {1, 2, 2, 400, 400, 3},  {1, 1, 1, 17, 33, 200},
};
constexpr Shape kQuickShapes[] = {{1, 2, 2, 40, 48, 32}};

/// What real tensors do that normal numbers do not.
struct Flavour {
  const char* name;
  GradSource d_o;
  void (*change)(Inputs&);
};

void scale_tensor(Tensor& t, float times, float shift) {
  for (std::int64_t i = 0; i < t.count(); ++i) t.set(i, t.at(i) * times + shift);
}

constexpr Flavour kFlavours[] = {
    {"normal", GradSource::kRandom, [](Inputs&) {}},
    {"sum(O)", GradSource::kOnes, [](Inputs&) {}},
    {"shifted V", GradSource::kRandom, [](Inputs& in) { scale_tensor(in.v, 1, 4); }},
    {"constant V", GradSource::kRandom, [](Inputs& in) { scale_tensor(in.v, 0, 1); }},
    {"outlier channel", GradSource::kRandom,
     [](Inputs& in) {
       for (Tensor* t : {&in.k, &in.v})
         for (std::int64_t i = 0; i < t->count(); i += t->dims().d) t->set(i, t->at(i) * 16);
     }},
    {"tiny dO", GradSource::kRandom, [](Inputs& in) { scale_tensor(in.d_o, 1e-3f, 0); }},
};

struct Masking {
  const char* name;
  bool causal;
  double keep;
};
constexpr Masking kMaskings[] = {
    {"none", false, 1}, {"causal", true, 1}, {"random", false, 0.5}, {"causal+random", true, 0.5}};

constexpr float kLogits[] = {1, 3, 10, 30};

Problem make_problem(const Shape& shape, Dtype dtype, const Masking& mask, GradSource d_o,
                     float logits) {
  Problem p;
  p.shape = shape;
  p.pass = Pass::kBackward;
  p.dtype = dtype;
  p.causal = mask.causal;
  p.padding = mask.keep < 1 ? PaddingMask::kRandom : PaddingMask::kNone;
  p.mask_keep = mask.keep;
  p.d_o = d_o;
  p.scale = static_cast<double>(logits) / std::sqrt(static_cast<double>(shape.d));
  return p;
}

class Calibration {
 public:
  explicit Calibration(bool quick) : quick_(quick) {
    fmt::print(
        "kernel,isa,dtype,q_len,kv_len,d,mask,inputs,logits,defect,level,tensor,error_over_"
        "noise\n");
  }

  void run() {
    if (quick_) return run(kQuickShapes);
    run(kShapes);
  }

  int refused() const { return refused_; }

 private:
  template <std::size_t n>
  void run(const Shape (&shapes)[n]) {
    std::size_t turn = 0;  // flavours and maskings rotate: every pair of choices meets somewhere
    for (const Shape& shape : shapes)
      for (const Dtype dtype : kDtypes)
        for (const float logits : kLogits)
          for (const Masking& mask : kMaskings) {
            judge_all(shape, dtype, mask, logits, kFlavours[0]);
            judge_all(shape, dtype, mask, logits, kFlavours[1 + turn++ % 5]);
          }
  }

  void judge_all(const Shape& shape, Dtype dtype, const Masking& mask, float logits,
                 const Flavour& flavour) {
    const Problem p = make_problem(shape, dtype, mask, flavour.d_o, logits);
    Inputs in = host::random_inputs(p);
    flavour.change(in);
    const oracle::Reference full(p, in, VerifyLevel::kFull), sample(p, in, VerifyLevel::kSample);
    const auto report = [&](const std::string& kernel, std::string_view isa, const char* defect,
                            const Outputs& out) {
      for (const oracle::Reference* reference : {&full, &sample}) {
        const Verdict v = reference->verify(out);
        for (const TensorVerdict& t : v.tensors)
          fmt::print("{},{},{},{},{},{},{},{},{},{},{},\"{}\",{:.4g}\n", kernel, isa, name(dtype),
                     shape.q_len, shape.kv_len, shape.d, mask.name, flavour.name, logits, defect,
                     name(v.level), t.tensor, t.error_over_noise);
        if (correct(defect) && !v.ok()) ++refused_;
      }
    };
    Backend& processor = *registry::find(registry::backends(), kProcessor);
    for (const Kernel* kernel : processor.kernels())
      for (const IsaStatus& level : processor.isas())
        if (!level.absent) run_kernel(*kernel, level.isa, p, in, report);
    const Outputs right = host::attention(p, in);
    report("host", "scalar", host::name(host::Defect::kNone), right);
    if (&flavour != &kFlavours[0]) return;
    for (const host::Defect defect : host::kDefects) {
      const bool rounds_twice = defect == host::Defect::kDoubleRounding;
      if (defect == host::Defect::kNone || (rounds_twice && dtype != Dtype::kBf16)) continue;
      const Outputs wrong = host::attention(p, in, defect);
      if (!same(right, wrong)) report("host", "scalar", host::name(defect), wrong);
    }
  }

  template <typename Report>
  static void run_kernel(const Kernel& kernel, Isa isa, const Problem& p, const Inputs& in,
                         const Report& report) {
    Execution e;
    e.isa = isa;
    e.threads = 2;
    if (kernel.refuses(p, e)) return;
    if (kernel.info().type == AttentionType::kPaper && isa != Isa::kScalar) return;
    Outputs out = host::empty_outputs(p);
    const auto plan = kernel.plan(p, e, in);
    plan->prepare({&in, &out});
    plan->launch({&in, &out});
    report(kernel.info().name, name(isa), "none", out);
  }

  static bool correct(const char* defect) {
    return std::strcmp(defect, host::name(host::Defect::kNone)) == 0 ||
           std::strcmp(defect, host::name(host::Defect::kDoubleRounding)) == 0;
  }

  /// Bit for bit: an error planted where it changes nothing (a padded key dropped) is none.
  static bool same(const Outputs& a, const Outputs& b) {
    for (const auto t : {&Outputs::o, &Outputs::lse, &Outputs::dq, &Outputs::dk, &Outputs::dv})
      if (std::memcmp((a.*t).data(), (b.*t).data(), (a.*t).bytes()) != 0) return false;
    return true;
  }

  bool quick_;
  int refused_ = 0;
};

}  // namespace
}  // namespace flashbench

int main(int argc, char** argv) {
  flashbench::Calibration calibration(argc > 1 && std::strcmp(argv[1], "--quick") == 0);
  calibration.run();
  if (calibration.refused() != 0)
    fmt::print(stderr, "{} correct results were refused\n", calibration.refused());
  return calibration.refused() == 0 ? 0 : 1;
}
