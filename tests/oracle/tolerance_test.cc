#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "data/fill.h"
#include "oracle/reference.h"
#include "tests/oracle/flavours.h"
#include "tests/oracle/host_attention.h"
#include "tests/oracle/verdicts.h"

// What a correct kernel is allowed: not much more than it needs, and what is written down.
namespace flashbench::oracle {
namespace {

const std::string kRecorded = FLASHBENCH_SOURCE_DIR "/tests/golden/tolerances.tsv";

struct Kind {
  const host::Flavour& flavour;
  Problem problem;
  Inputs inputs;

  Kind(const host::Flavour& f, Dtype dtype) : flavour(f) {
    problem = oracle::problem({1, 2, 1, 60, 70, 24}, dtype);
    problem.d_o = f.d_o;
    inputs = host::random_inputs(problem);
    // The same numbers for every library.
    for (const auto& [id, t] : {std::pair{data::TensorId::kQ, &inputs.q},
                                {data::TensorId::kK, &inputs.k},
                                {data::TensorId::kV, &inputs.v},
                                {data::TensorId::kDo, &inputs.d_o}})
      if (id != data::TensorId::kDo || f.d_o == GradSource::kRandom)
        data::fill(*t, 0, id, Values::kNormal, /*threads=*/1);
    f.change(inputs);
  }
  std::string name() const {
    return std::string(flavour.name) + "\t" + std::string(flashbench::name(problem.dtype));
  }
};

/// Mean of the logarithms of what is not 0: every element counts, however small it is.
class Typical {
 public:
  void add(double x) {
    if (x == 0) return;
    sum_ += std::log(x);
    ++count_;
  }
  double value() const { return count_ == 0 ? 0 : std::exp(sum_ / count_); }

 private:
  double sum_ = 0, count_ = 0;
};

/// Of one tensor, over all of its rows: expected deviation of an element, and by how much the mean
/// square of a row may exceed the expected one.
struct Allowed {
  Typical deviation, excess;
  std::int64_t taken = 0;  ///< elements
};

/// What level full allows, and outputs that are exact but for rounding: the same numbers
/// everywhere.
class Exact {
 public:
  explicit Exact(const Kind& kind) : out(host::empty_outputs(kind.problem)) {
    const Definition def(kind.problem, kind.inputs);
    const std::vector<RowPart> rows = all_rows(def);
    for (const RowPart& part : rows) {
      take(part.results.o, out.o, o_);
      take(part.results.lse, out.lse, lse_);
      take(part.results.dq, out.dq, dq_);
    }
    for (const ColumnPart& part : all_columns(def, rows)) {
      take(part.results.dk, out.dk, dk_);
      take(part.results.dv, out.dv, dv_);
      independent_.add(part.results.dk.independent);
      independent_.add(part.results.dv.independent);
    }
  }

  /// In order of the columns of the file.
  std::vector<double> allowed() const {
    std::vector<double> all;
    for (const Allowed* x : {&o_, &lse_, &dq_, &dk_, &dv_})
      for (const Typical* y : {&x->deviation, &x->excess}) all.push_back(y->value());
    all.push_back(independent_.value());
    return all;
  }

  Outputs out;

 private:
  /// Parts come in order of the tensor's rows.
  static void take(const Expected& x, Tensor& to, Allowed& allowed) {
    for (const double value : x.value) to.set(allowed.taken++, static_cast<float>(value));
    for (const Noise& noise : x.noise) allowed.deviation.add(std::sqrt(noise.variance()));
    for (const double e : x.excess) allowed.excess.add(e);
  }

  Allowed o_, lse_, dq_, dk_, dv_;
  Typical independent_;
};

/// What level sample says: of the sum identities for exact outputs, and of one wrong element of
/// each tensor, in the first row and key, which are always looked at. O and LSE apart, since the
/// columns start from them.
std::vector<double> seen_in_a_sample(const Kind& kind, Outputs& out) {
  const Reference reference(kind.problem, kind.inputs, VerifyLevel::kSample);
  std::vector<double> all;
  const auto see = [&](std::initializer_list<const char*> judges) {
    const Verdict v = reference.verify(out);
    for (const char* judge : judges) {
      const double seen = of(v, judge).error_over_noise;
      all.push_back(seen < 1e-6 ? 0 : seen);  // what is left is the rounding of fp64
    }
  };
  const auto spoil = [](Tensor& t) { t.set(0, t.at(0) + host::large(t)); };
  see({"sum dV = sum dO", "<O,dO> = <V,dV>", "<Q,dQ> = <K,dK>"});
  for (Tensor* t : {&out.dq, &out.dk, &out.dv}) spoil(*t);
  see({"dq", "dk", "dv"});
  for (Tensor* t : {&out.o, &out.lse}) spoil(*t);
  see({"o", "lse", "O within V"});
  return all;
}

std::string text(const std::vector<double>& numbers) {
  std::ostringstream out;
  out.precision(6);
  for (const double x : numbers) out << '\t' << x;
  return out.str();
}

constexpr const char* kHeader =
    "inputs\tdtype\to\to_excess\tlse\tlse_excess\tdq\tdq_excess\tdk\tdk_excess\tdv\tdv_"
    "excess\tindependent"
    "\tsum_dv\to_do_v_dv\tq_dq_k_dk\twrong_dq\twrong_dk\twrong_dv\twrong_o\twrong_lse\to_within_v";

std::vector<double> tolerances(const Kind& kind) {
  Exact exact(kind);
  std::vector<double> all = exact.allowed();
  for (const double x : seen_in_a_sample(kind, exact.out)) all.push_back(x);
  return all;
}

void write_recorded() {
  std::ofstream file(kRecorded);
  file << kHeader << '\n';
  for (const host::Flavour& flavour : host::kFlavours)
    for (const Dtype dtype : kDtypes) {
      const Kind kind(flavour, dtype);
      file << kind.name() << text(tolerances(kind)) << '\n';
    }
}

// Hours of calibration stand behind these numbers. Who changes a formula of the rule sees here what
// it does to each tolerance, and calibrates anew (lib/oracle/README.md).
TEST(Tolerance, DoesNotChangeUnnoticed) {
  if (std::getenv("FLASHBENCH_UPDATE_GOLDEN") != nullptr) write_recorded();
  std::ifstream file(kRecorded);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, kHeader);
  for (const host::Flavour& flavour : host::kFlavours)
    for (const Dtype dtype : kDtypes) {
      const Kind kind(flavour, dtype);
      ASSERT_TRUE(std::getline(file, line)) << kind.name();
      ASSERT_EQ(line.rfind(kind.name() + "\t", 0), 0u) << line;
      std::istringstream numbers(line.substr(kind.name().size()));
      const std::vector<double> now = tolerances(kind);
      for (std::size_t n = 0; n < now.size(); ++n) {
        double then = 0;
        ASSERT_TRUE(numbers >> then) << line;
        EXPECT_NEAR(now[n], then, 1e-4 * std::abs(then))
            << kind.name() << " column " << n + 3
            << " (FLASHBENCH_UPDATE_GOLDEN=1 if the change is meant)";
      }
    }
}

// A tolerance far beyond what a plain kernel is off by would hide errors. Left out are inputs that
// make results exact, or nearly so: there the worst is allowed for and rarely met.
TEST(Tolerance, IsNotMuchMoreThanAPlainKernelNeeds) {
  const std::set<std::string> special = {"ones",
                                         "constant 0.1",
                                         "constant 10",
                                         "equal keys",
                                         "equal queries",
                                         "equal queries not dO",
                                         "two kinds of queries",
                                         "Q = 0",
                                         "Q x0.001",
                                         "V = 1",
                                         "V near the largest",
                                         "V subnormal",
                                         "keys of two kinds",
                                         "one-hot V",
                                         "eight queries and a ramp of dO"};
  int judged = 0;
  for (const host::Flavour& flavour : host::kFlavours)
    for (const Dtype dtype : kDtypes) {
      if (special.contains(flavour.name)) continue;
      // Of all its sums the largest part that they reach is allowed for, which few rows' errors do.
      const double least = flavour.name == std::string_view("products come and go") ? 0.09 : 0.2;
      const Kind kind(flavour, dtype);
      const Outputs out = host::attention(kind.problem, kind.inputs);
      for (const VerifyLevel level : {VerifyLevel::kFull, VerifyLevel::kSample})
        for (const TensorVerdict& t : verify(kind.problem, kind.inputs, out, level).tensors) {
          if (!t.rms) continue;
          ++judged;
          EXPECT_GE(*t.rms, least) << kind.name() << " " << name(level) << " " << t.tensor;
          EXPECT_LE(*t.rms, 1.2) << kind.name() << " " << name(level) << " " << t.tensor;
        }
    }
  EXPECT_GT(judged, 400);
}

}  // namespace
}  // namespace flashbench::oracle
