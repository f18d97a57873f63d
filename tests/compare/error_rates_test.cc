#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <iostream>
#include <string>

#include "compare/drift.h"
#include "compare/verdict.h"
#include "report/derive.h"
#include "tests/compare/noise.h"

// The promise of compare, measured: how often is a verdict wrong, over synthetic comparisons with
// fixed seeds and autocorrelated noise?
namespace flashbench::compare {
namespace {

constexpr double kThreshold = 0.03;
constexpr double kAlpha = 0.05;
constexpr int kComparisons = 1000;

struct Tally {
  std::array<int, 4> count{};
  int operator[](Verdict v) const { return count[static_cast<std::size_t>(v)]; }
  int decided_wrongly_when_equal() const {
    return (*this)[Verdict::kFaster] + (*this)[Verdict::kSlower];
  }
};

std::ostream& operator<<(std::ostream& out, const Tally& t) {
  for (std::size_t i = 0; i < t.count.size(); ++i)
    out << name(static_cast<Verdict>(i)) << " " << t.count[i] << " ";
  return out;
}

Tally tally(const std::function<Evidence(std::uint64_t seed)>& compare, int times = kComparisons) {
  Tally t;
  for (int i = 0; i < times; ++i) {
    const Evidence evidence = compare(static_cast<std::uint64_t>(i) + 1);
    const auto decisions = decide(std::span(&evidence, 1), kThreshold, kAlpha);
    ++t.count[static_cast<std::size_t>(decisions[0].verdict)];
  }
  return t;
}

struct NoiseCase {
  const char* name;
  Noise noise;
};
const NoiseCase kNoises[] = {
    {"quiet", {.sample = 0.003, .memory = 0.3, .run = 0.001, .spike_rate = 0.01, .drift = 0.002}},
    {"shared_machine", {}},
    {"long_memory", {.sample = 0.02, .memory = 0.95, .run = 0.005}},
    {"wild",
     {.sample = 0.06, .memory = 0.8, .run = 0.05, .spike_rate = 0.2, .spike = 0.5, .drift = 0.2}},
};

/// As `compare base.json new.json` has it: a calibration beside the samples vouches for them or
/// not.
Evidence of_reports(const report::Result& base, const report::Result& fresh) {
  const auto spread = [](const report::Result& r) { return Spread{r.calibration->spread, 5}; };
  return Evidence::from_runs(base.timing->times, fresh.timing->times,
                             combined(spread(base), spread(fresh)),
                             drift_between({&base, &fresh}).shift);
}

Evidence two_reports(const Noise& noise, std::uint64_t seed, double ratio, std::size_t samples) {
  Machine machine(seed, noise);
  const report::Result base = machine.calibrated_result(1, samples);
  return of_reports(base, machine.calibrated_result(ratio, samples));
}

Evidence two_programs(const Noise& noise, std::uint64_t seed, double ratio, int rounds) {
  return Evidence::from_rounds(Machine(seed, noise).rounds(ratio, rounds), 1);
}

/// What lib/compare promises, whatever the noise.
void expect_few_errors(const std::string& what, double ratio, const Tally& t) {
  std::cout << what << ": " << t << "\n";
  if (ratio == 1.0)
    EXPECT_LE(t.decided_wrongly_when_equal(), kComparisons / 50) << what;
  else
    EXPECT_LE(t[Verdict::kSame] + t[Verdict::kFaster], kComparisons / 100) << what;
}

/// Prints the numbers in the README of lib/compare; some minutes, and so only on request
/// (--gtest_also_run_disabled_tests): the tests below hold the same promises with fewer samples.
TEST(ErrorRates, DISABLED_TheTableOfTheReadme) {
  for (const NoiseCase& c : kNoises)
    for (const double ratio : {1.0, 1.05}) {
      const std::string name = std::string(c.name) + ", ratio " + std::to_string(ratio);
      expect_few_errors(name + ", files of 50 samples", ratio,
                        tally([&](std::uint64_t s) { return two_reports(c.noise, s, ratio, 50); }));
      for (const int rounds : {8, 16, 32, 64})
        expect_few_errors(
            name + ", " + std::to_string(rounds) + " rounds", ratio,
            tally([&](std::uint64_t s) { return two_programs(c.noise, s, ratio, rounds); }));
    }
}

/// 20 samples a file; 16 rounds of processes.
TEST(ErrorRates, AtMostTwoInAHundredEqualProgramsDiffer) {
  for (const NoiseCase& c : kNoises) {
    const Tally files =
        tally([&](std::uint64_t seed) { return two_reports(c.noise, seed, 1, 20); });
    EXPECT_LE(files.decided_wrongly_when_equal(), kComparisons / 50) << c.name << ": " << files;
    const Tally rounds =
        tally([&](std::uint64_t seed) { return two_programs(c.noise, seed, 1, 16); });
    EXPECT_LE(rounds.decided_wrongly_when_equal(), kComparisons / 50) << c.name << ": " << rounds;
  }
}

TEST(ErrorRates, FivePercentSlowerIsFoundWhereTheNoiseAllows) {
  const Tally quiet =
      tally([](std::uint64_t seed) { return two_reports(kNoises[0].noise, seed, 1.05, 20); });
  EXPECT_GE(quiet[Verdict::kSlower], kComparisons * 95 / 100) << quiet;
  // The noise that allows it for two programs: 32 rounds on a shared machine.
  const Tally rounds =
      tally([](std::uint64_t seed) { return two_programs(kNoises[1].noise, seed, 1.05, 32); });
  EXPECT_GE(rounds[Verdict::kSlower], kComparisons * 95 / 100) << rounds;
}

TEST(ErrorRates, FivePercentSlowerIsAmbiguousElsewhereAndHardlyEverSame) {
  for (const NoiseCase& c : kNoises) {
    const Tally files =
        tally([&](std::uint64_t seed) { return two_reports(c.noise, seed, 1.05, 20); });
    EXPECT_LT(files[Verdict::kSame], kComparisons / 100) << c.name << ": " << files;
    EXPECT_LE(files[Verdict::kFaster], kComparisons / 100) << c.name << ": " << files;
    const Tally rounds =
        tally([&](std::uint64_t seed) { return two_programs(c.noise, seed, 1.05, 8); });
    EXPECT_LT(rounds[Verdict::kSame], kComparisons / 100) << c.name << ": " << rounds;
    EXPECT_LE(rounds[Verdict::kFaster], kComparisons / 100) << c.name << ": " << rounds;
  }
}

/// A machine that is slower in one report than in the other, and what shows it.
struct Witness {
  const char* name;
  /// Tells it in a result that took `slower` (a logarithm) too long.
  void (*testify)(Machine&, report::Result&, double slower);
};
const Witness kWitnesses[] = {
    {"peaks",
     [](Machine& machine, report::Result& r, double slower) {
       const double at_peak = 0.5 * std::exp(slower + 0.003 * machine.normal());
       r.pct_peak = 100 * at_peak / r.timing->median;
       for (double& m : r.calibration->medians) m *= std::exp(slower);  // taken at that time
     }},
    {"load from others",
     [](Machine& machine, report::Result& r, double slower) {
       if (slower == 0) return;
       r.others_cpus = 1 - std::exp(-slower - 0.05 * machine.uniform());  // not all of it hurts
       r.warnings = {"load from others: so much"};
       for (double& m : r.calibration->medians) m *= std::exp(slower);
     }},
    {"a calibration before the load came", [](Machine&, report::Result&, double) {}},
};

report::Result result_of(Machine& machine, double seconds, const Witness* witness) {
  const double slower = machine.uniform() < 0.5 ? 0 : -0.2 * std::log(machine.uniform());
  report::Result r = machine.calibrated_result(seconds, 20);
  for (double& t : r.timing->times) t *= std::exp(slower);
  r.timing->median *= std::exp(slower);
  if (witness != nullptr)
    witness->testify(machine, r, slower);
  else
    for (double& m : r.calibration->medians) m *= std::exp(slower);
  return r;
}

Evidence of_a_changing_machine(std::uint64_t seed, double ratio, const Witness* witness) {
  Machine machine(seed, kNoises[1].noise);
  const report::Result base = result_of(machine, 1, witness);
  return of_reports(base, result_of(machine, ratio, witness));
}

TEST(ErrorRates, AMachineThatChangedBetweenTwoFilesIsNoDifference) {
  const auto wrong = [](const Witness* witness) {
    return tally([&](std::uint64_t seed) { return of_a_changing_machine(seed, 1, witness); })
        .decided_wrongly_when_equal();
  };
  EXPECT_GT(wrong(nullptr), kComparisons / 10) << "nothing shows it: the case is a real one";
  for (const Witness& w : kWitnesses) EXPECT_LE(wrong(&w), kComparisons / 50) << w.name;
}

TEST(ErrorRates, ManyCasesErrTogetherNoMoreThanOne) {
  constexpr int kFamilies = 100, kCases = 20;
  int families_with_an_error = 0;
  for (int family = 0; family < kFamilies; ++family) {
    std::vector<Evidence> cases;
    for (int i = 0; i < kCases; ++i)
      cases.push_back(two_programs(kNoises[3].noise,
                                   static_cast<std::uint64_t>(family * kCases + i) + 1, 1, 12));
    bool error = false;
    for (const Decision& d : decide(cases, kThreshold, kAlpha))
      error = error || d.verdict == Verdict::kSlower || d.verdict == Verdict::kFaster;
    families_with_an_error += error ? 1 : 0;
  }
  EXPECT_LE(families_with_an_error, kFamilies * kAlpha);
}

}  // namespace
}  // namespace flashbench::compare
