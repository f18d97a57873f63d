#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <vector>

#include "compare/evidence.h"
#include "measure/statistics.h"
#include "report/derive.h"

namespace flashbench::compare {

/// How times scatter, as logarithms (0.01 is 1 %).
struct Noise {
  double sample = 0.01;      ///< from sample to sample
  double memory = 0.7;       ///< correlation of neighbouring samples
  double run = 0.01;         ///< from run to run, the same for all samples of a run
  double spike_rate = 0.05;  ///< share of samples that something else delayed,
  double spike = 0.15;       ///< by this on average
  double drift = 0.02;       ///< of the machine, from one round of processes to the next
};

/// Synthetic runs. Seeded; only integer generators of the standard, which are the same everywhere.
class Machine {
 public:
  Machine(std::uint64_t seed, const Noise& noise) : random_(seed), noise_(noise) {}

  double uniform() { return (static_cast<double>(random_() >> 11) + 0.5) * 0x1p-53; }
  double normal() {
    return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform());
  }

  /// Samples of one process whose true time is `seconds`.
  std::vector<double> run(double seconds, std::size_t samples) {
    const double offset = drift_ + noise_.run * normal();
    double state = normal();
    std::vector<double> times;
    for (std::size_t i = 0; i < samples; ++i) {
      state = noise_.memory * state + std::sqrt(1 - noise_.memory * noise_.memory) * normal();
      double log_time = offset + noise_.sample * state;
      if (uniform() < noise_.spike_rate) log_time -= noise_.spike * std::log(uniform());
      times.push_back(seconds * std::exp(log_time));
    }
    return times;
  }

  double median_of_run(double seconds, std::size_t samples) {
    return measure::median(run(seconds, samples));
  }

  /// The machine as it will be for the next round: half of the way back to normal, and a new step.
  void drift() { drift_ = drift_ / 2 + noise_.drift * normal(); }

  /// What `bench --calibrate` reports of a case: samples, and medians of short fresh runs.
  report::Result calibrated_result(double seconds, std::size_t samples) {
    measure::Samples taken;
    taken.times_s = run(seconds, samples);
    report::Result r;
    r.timing = report::timing_of(taken);
    std::vector<double> medians(6);
    for (double& m : medians) m = median_of_run(seconds, 10);
    r.calibration = report::calibration_of(medians);
    return r;
  }

  /// Rounds of one process each, as `compare --run` makes them: ln(new / base) of each.
  std::vector<double> rounds(double ratio, int count, std::size_t samples = 10) {
    std::vector<double> log_ratios;
    for (int i = 0; i < count; ++i) {
      drift();
      const double base = median_of_run(1, samples);
      log_ratios.push_back(std::log(median_of_run(ratio, samples) / base));
    }
    return log_ratios;
  }

 private:
  std::mt19937_64 random_;
  Noise noise_;
  double drift_ = 0;
};

}  // namespace flashbench::compare
