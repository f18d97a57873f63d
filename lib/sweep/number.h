#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace flashbench::sweep {

/// The most values that one list or range may hold, and the most cases that one command may have.
inline constexpr std::size_t kMaxCases = 10000;

struct Limits {
  std::int64_t least = 1, most = std::numeric_limits<std::int32_t>::max();
  /// What messages name beside the numbers: a word that the caller takes. Null: nothing.
  const char* or_word = nullptr;
};

// `where` names the source in messages: "--q_len", or "quick.json: 'q_len'". Everything here throws
// UsageError with one line: where, the value, and what would be right.

/// Digits with an optional `k` (1024) or `m` (1024²). No sign, no fraction; 010 is ten.
std::int64_t parse_count(std::string_view text, std::string_view where, Limits limits = {});

/// A list of counts and ranges: "1k,2k,4k", "512:16k:x2" (times 2, also "*2"), "64:256:+64". The
/// end of a range is included when it is hit.
std::vector<std::int64_t> parse_counts(std::string_view text, std::string_view where,
                                       Limits limits = {});

/// Digits only, up to 2^64 - 1.
std::uint64_t parse_seed(std::string_view text, std::string_view where);

/// A finite decimal number; `least <= value <= most`.
double parse_real(std::string_view text, std::string_view where,
                  double least = std::numeric_limits<double>::lowest(),
                  double most = std::numeric_limits<double>::max());

/// "true" or "false"; "" is true, so that a bare flag switches on.
bool parse_bool(std::string_view text, std::string_view where);

/// Splits at commas; an empty item is an error.
std::vector<std::string> split_list(std::string_view text, std::string_view where);

}  // namespace flashbench::sweep
