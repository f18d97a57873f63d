// Measures the accept rule: error over expected noise of correct kernels, every one that this build
// has, on all kinds of inputs, and of a plain attention with planted errors. Writes CSV to stdout;
// scripts/plots/plot_calibration.py draws it. Exits 1 when a correct result is refused.
//
//     flashbench_calibrate [--emulated | --gpu] [--quick] [--correct] [--part I/N] [--inputs NAME]
//
// --emulated, --gpu: not the processor's kernels but those of the emulated device, on small shapes,
// or of the first GPU. --quick: one shape. --correct: nothing is planted. --part: the I-th of N
// shares of the inputs, so that N processes do what one would. --inputs: that kind of input alone.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "oracle/verify.h"
#include "registry/registry.h"
#include "tests/oracle/flavours.h"
#include "tests/oracle/host_attention.h"

namespace flashbench {
namespace {

// Small next to a tile, ragged, long, wide; decode; more queries than keys; groups; and one of
// whose rows level sample sees less than half.
constexpr Shape kShapes[] = {
    {1, 2, 2, 700, 700, 64}, {1, 2, 2, 300, 300, 128}, {1, 2, 2, 128, 160, 512},
    {1, 2, 2, 64, 64, 32},   {1, 4, 2, 1, 513, 64},    {2, 6, 2, 65, 130, 40},
    {1, 2, 2, 200, 70, 16},  {1, 2, 2, 90, 90, 1},     {1, 1, 1, 48, 64, 1024},
    {1, 2, 2, 400, 400, 3},  {1, 1, 1, 17, 33, 200},   {1, 1, 1, 2000, 1500, 24},
};
constexpr Shape kQuickShapes[] = {{1, 2, 2, 40, 48, 32}};
constexpr Shape kEmulatedShapes[] = {
    {1, 2, 2, 65, 70, 64}, {1, 4, 2, 33, 129, 128}, {1, 1, 1, 1, 150, 40}, {1, 1, 1, 40, 30, 256}};
// So long that only few kinds of input are tried.
constexpr Shape kLongShapes[] = {{1, 1, 1, 64, 4096, 64}, {1, 1, 1, 1, 16384, 128}};

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

/// Whose kernels are judged; nothing is planted but on the processor.
enum class Kernels { kProcessor, kEmulated, kGpu };

struct Options {
  Kernels kernels = Kernels::kProcessor;
  bool quick = false;
  bool correct = false;
  unsigned part = 0, parts = 1;
  std::string_view inputs;
};

class Calibration {
 public:
  explicit Calibration(const Options& options)
      : options_(options), device_(options.kernels == Kernels::kEmulated ? kEmulatedDevice : 0) {
    fmt::print(
        "kernel,isa,dtype,q_len,kv_len,d,mask,inputs,logits,defect,level,tensor,error_over_"
        "noise,scope\n");
  }

  void run() {
    if (options_.quick) return run(kQuickShapes);
    if (options_.kernels == Kernels::kEmulated) return run(kEmulatedShapes);
    run(kShapes);
    run(kLongShapes);
  }

  int refused() const { return refused_; }

 private:
  template <std::size_t n>
  void run(const Shape (&shapes)[n]) {
    // Kinds of input, logits and maskings rotate, by numbers without a common divisor: every pair
    // of choices meets somewhere.
    std::size_t turn = 0;
    unsigned count = 0;
    for (const Shape& shape : shapes)
      for (const Dtype dtype : kDtypes) {
        for (const host::Flavour& flavour : host::kFlavours) {
          const bool normal = &flavour == &host::kFlavours[0];
          for (int repeat = 0; repeat < (normal ? 16 : 3); ++repeat, ++turn)
            if (count++ % options_.parts == options_.part &&
                (options_.inputs.empty() || options_.inputs == flavour.name))
              judge_all(shape, dtype, kMaskings[turn % 4], kLogits[turn / 4 % 4], flavour);
          ++turn;
        }
      }
  }

  void judge_all(const Shape& shape, Dtype dtype, const Masking& mask, float logits,
                 const host::Flavour& flavour) {
    const Problem p = make_problem(shape, dtype, mask, flavour.d_o, logits);
    Inputs in = host::random_inputs(p);
    flavour.change(in);
    const oracle::Reference full(p, in, VerifyLevel::kFull), sample(p, in, VerifyLevel::kSample);
    const auto report = [&](const std::string& kernel, std::string_view isa, const char* defect,
                            const Outputs& out) {
      for (const oracle::Reference* reference : {&full, &sample}) {
        const Verdict v = reference->verify(out);
        for (const TensorVerdict& t : v.tensors)
          fmt::print("{},{},{},{},{},{},{},{},{},{},{},\"{}\",{:.4g},{}\n", kernel, isa,
                     name(dtype), shape.q_len, shape.kv_len, shape.d, mask.name, flavour.name,
                     logits, defect, name(v.level), t.tensor, t.error_over_noise, name(t.scope));
        if (correct(defect) && !v.ok()) ++refused_;
      }
    };
    for (Backend* backend : registry::backends()) {
      if ((backend->info().id == kProcessor) == on_device()) continue;
      for (const Kernel* kernel : backend->kernels()) run_kernel(*backend, *kernel, p, in, report);
    }
    if (options_.correct || on_device()) return;
    const Outputs right = host::attention(p, in);
    report("host", "scalar", host::name(host::Defect::kNone), right);
    for (const host::Defect defect : host::kDefects) {
      if (defect == host::Defect::kNone || !host::applies(defect, dtype)) continue;
      const Outputs wrong = host::attention(p, in, defect);
      if (!same(right, wrong)) report("host", "scalar", host::name(defect), wrong);
    }
  }

  bool on_device() const { return options_.kernels != Kernels::kProcessor; }

  template <typename Report>
  void run_kernel(Backend& backend, const Kernel& kernel, const Problem& p, const Inputs& in,
                  const Report& report) const {
    if (backend.info().id != kProcessor) {
      Execution e;
      e.device = device_;
      return run_kernel(kernel, e, device_ == kEmulatedDevice ? "emulated" : "gpu", p, in, report);
    }
    for (const IsaStatus& level : backend.isas()) {
      Execution e;
      e.isa = level.isa;
      e.threads = 1;
      const bool once = kernel.info().type == AttentionType::kPaper && level.isa != Isa::kScalar;
      if (!level.absent && !once) run_kernel(kernel, e, name(level.isa), p, in, report);
    }
  }

  template <typename Report>
  static void run_kernel(const Kernel& kernel, const Execution& e, std::string_view where,
                         const Problem& p, const Inputs& in, const Report& report) {
    if (kernel.refuses(p, e)) return;
    Outputs out = host::empty_outputs(p);
    const auto plan = kernel.plan(p, e, in);
    plan->prepare({&in, &out});
    plan->launch({&in, &out});
    plan->wait();
    plan->collect({&in, &out});
    report(kernel.info().name, where, "none", out);
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

  const Options options_;
  const int device_;
  int refused_ = 0;
};

}  // namespace
}  // namespace flashbench

int main(int argc, char** argv) {
  flashbench::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--correct")
      options.correct = true;
    else if (word == "--quick")
      options.quick = true;
    else if (word == "--emulated")
      options.kernels = flashbench::Kernels::kEmulated;
    else if (word == "--gpu")
      options.kernels = flashbench::Kernels::kGpu;
    else if (word == "--inputs" && i + 1 < argc)
      options.inputs = argv[++i];
    else if (word != "--part" || ++i == argc ||
             std::sscanf(argv[i], "%u/%u", &options.part, &options.parts) != 2 ||
             options.part >= options.parts) {
      fmt::print(stderr, "unknown option {}\n", word);
      return 2;
    }
  }
  flashbench::Calibration calibration(options);
  calibration.run();
  if (calibration.refused() != 0)
    fmt::print(stderr, "{} correct results were refused\n", calibration.refused());
  return calibration.refused() == 0 ? 0 : 1;
}
