#pragma once

#include <span>
#include <string>

#include "measure/sampler.h"
#include "report/record.h"

namespace flashbench::report {

/// Statistics of the samples; nullopt when there are none.
std::optional<Timing> timing_of(const measure::Samples& samples);

/// What fresh processes of one case say about each other; nullopt below two, or where a median is
/// not positive.
std::optional<Calibration> calibration_of(std::span<const double> medians_s);

/// Fills tflops and gb_s from the median, flop_visible and bytes.
void derive_rates(Result& result);

/// Seconds that the work takes at the peaks. `peak_flop_s`, `peak_bytes_s`: FLOP/s and bytes/s,
/// measured in the same run.
double ideal_s(double flop_visible, double bytes, double peak_flop_s, double peak_bytes_s);

/// Everything of case_key() but type, kernel and guest.
std::string key_without_type(const Result& r);

/// The type, or the kernel of a guest, of which there may be several.
std::string subject_of(const Result& r);

/// Where kernels of two guests have the same name, it becomes GUEST:KERNEL: for tables and
/// sentences.
void tell_guests_apart(std::span<Result> results);

/// The types that a result is compared with: normal, flash also with paper, and a guest with flash.
std::vector<std::string> rivals_of(const Result& r);

/// Gives every result whose workload, pass, backend, isa, threads, device and cache were also
/// measured with a rival of its type the ratio of the medians and its interval, where both are
/// conclusive() and have more than one sample.
void derive_speedups(std::span<Result> results);

/// The summary over results that hold.
Summary summarize(std::span<const Result> results);

/// Everything that follows from the results together: whether times rise, speedups, shares of the
/// peak that cannot be, explanations, the summary. As often as one likes.
void conclude(Report& report);

}  // namespace flashbench::report
