#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "report/record.h"

namespace flashbench::report {

/// What a sweep over a length shows of the two types, series by series: results that differ in the
/// length and in the type only. Lengths where neither type is known to be faster decide nothing.
struct Lengths {
  std::vector<Crossover> crossovers;
  std::vector<Lead> leads;          ///< of series in which one type is faster at every length
  std::vector<std::string> series;  ///< series_text() of all of them
};

/// nullopt where no length was swept with both `flash` and `normal`.
std::optional<Lengths> compare_lengths(std::span<const Result> results);

/// From which length on a type was skipped for want of memory.
std::vector<MemoryLimit> memory_limits(std::span<const Result> results);

/// The parameter that a sweep over lengths varies, and its value: q_len of queries and keys
/// together; kv_len where the number of queries is another one (decode).
struct Length {
  const char* parameter;
  double value;
};
Length length_of(const Workload& w);

/// What the results of a series share, the same for all of them and for no others.
std::string series_key(const Result& r);

/// The same for a reader: "forward, f32, b1 h4 d64, causal, avx2, 2 threads".
std::string series_text(const Result& r);

}  // namespace flashbench::report
