#include "sweep/number.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::sweep {
namespace {

constexpr std::string_view kDigits = "0123456789";

/// "none or ", where a word may stand for a number.
std::string word_or(const Limits& limits) {
  return limits.or_word == nullptr ? "" : fmt::format("{} or ", limits.or_word);
}
std::string did_you_mean_word(std::string_view text, const Limits& limits) {
  return limits.or_word == nullptr ? "" : did_you_mean(text, {limits.or_word});
}

[[noreturn]] void refuse_count(std::string_view text, std::string_view where,
                               const Limits& limits) {
  throw UsageError(fmt::format(
      "{} must be {}a whole number from {} on, digits with an optional k (1024) or m "
      "(1024*1024), such as 4096 or 4k; got {}{}",
      where, word_or(limits), limits.least, quote(text), did_you_mean_word(text, limits)));
}

/// nullopt when the value does not fit 63 bits.
std::optional<std::int64_t> count_value(std::string_view text, std::string_view where,
                                        const Limits& limits) {
  const std::string_view whole = text;
  std::int64_t unit = 1;
  if (!text.empty() && (text.back() == 'k' || text.back() == 'm')) {
    unit = text.back() == 'k' ? 1024 : 1024 * 1024;
    text.remove_suffix(1);
  }
  if (text.empty() || text.find_first_not_of(kDigits) != std::string_view::npos)
    refuse_count(whole, where, limits);
  std::int64_t digits = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), digits, 10);
  if (parsed.ec != std::errc{} || digits > std::numeric_limits<std::int64_t>::max() / unit)
    return std::nullopt;
  return digits * unit;
}

struct Range {
  std::int64_t begin, end, step;
  bool times;
};

Range parse_range(std::string_view text, std::string_view where, Limits limits) {
  const auto malformed = [&](std::string_view why) {
    return UsageError(fmt::format(
        "{} has a malformed range {}: {}; write begin:end:xN (times N) or begin:end:+N, "
        "such as 512:16k:x2 or 64:256:+64",
        where, quote(text), why));
  };
  const std::size_t first = text.find(':');
  const std::size_t second = text.find(':', first + 1);
  if (second == std::string_view::npos) throw malformed("it has no step");
  std::string_view step = text.substr(second + 1);
  if (step.find(':') != std::string_view::npos) throw malformed("it has more than three parts");
  if (step.empty() || (step[0] != 'x' && step[0] != '*' && step[0] != '+'))
    throw malformed("the step starts with neither x nor +");
  Range range{};
  range.times = step[0] != '+';
  step.remove_prefix(1);
  const std::string_view begin = text.substr(0, first);
  const std::string_view end = text.substr(first + 1, second - first - 1);
  if (limits.or_word != nullptr && (begin == limits.or_word || end == limits.or_word))
    throw malformed(fmt::format("{} is no end of a range", limits.or_word));
  limits.or_word = nullptr;
  range.begin = parse_count(begin, where, limits);
  range.end = parse_count(end, where, limits);
  range.step = parse_count(step, fmt::format("the step of {}", where), {0, limits.most});
  if (range.end < range.begin) throw malformed("it ends before it begins");
  if (range.times && range.step < 2) throw malformed("a factor must be at least 2");
  if (range.times && range.begin == 0) throw malformed("no factor leads away from 0");
  if (range.step == 0) throw malformed("a step must be at least 1");
  return range;
}

}  // namespace

std::int64_t parse_count(std::string_view text, std::string_view where, Limits limits) {
  const std::optional<std::int64_t> value = count_value(text, where, limits);
  if (!value || *value < limits.least || *value > limits.most)
    throw UsageError(fmt::format("{} must be {}between {} and {}, got {}", where, word_or(limits),
                                 limits.least, limits.most, quote(text)));
  return *value;
}

std::vector<std::int64_t> parse_counts(std::string_view text, std::string_view where,
                                       Limits limits) {
  std::vector<std::int64_t> values;
  const auto add = [&](std::int64_t value) {
    if (values.size() == kMaxCases)
      throw UsageError(
          fmt::format("{} has more than {} values in {}", where, kMaxCases, quote(text)));
    values.push_back(value);
  };
  for (const std::string& item : split_list(text, where)) {
    if (item.find(':') == std::string::npos) {
      add(parse_count(item, where, limits));
      continue;
    }
    const Range range = parse_range(item, where, limits);
    // The end is at most 2^31 and the step at most 2^31, so neither step overflows 63 bits.
    for (std::int64_t v = range.begin; v <= range.end;
         v = range.times ? v * range.step : v + range.step)
      add(v);
  }
  return values;
}

std::uint64_t parse_seed(std::string_view text, std::string_view where) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || text.empty())
    throw UsageError(
        fmt::format("{} must be a whole number from 0 to 2^64 - 1, got {}", where, quote(text)));
  return value;
}

double parse_real(std::string_view text, std::string_view where, double least, double most) {
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size();
  if (!whole || !std::isfinite(value))
    throw UsageError(fmt::format("{} must be a number such as 0.125, got {}", where, quote(text)));
  if (!(value >= least && value <= most))
    throw UsageError(
        most < std::numeric_limits<double>::max()
            ? fmt::format("{} must be between {} and {}, got {}", where, least, most, quote(text))
            : fmt::format("{} must be at least {}, got {}", where, least, quote(text)));
  return value == 0 ? 0 : value;  // -0 is no other case than 0
}

bool parse_bool(std::string_view text, std::string_view where) {
  if (text.empty() || text == "true") return true;
  if (text == "false") return false;
  throw UsageError(fmt::format("{} must be true or false, got {}{}", where, quote(text),
                               did_you_mean(text, {"true", "false"})));
}

std::vector<std::string> split_list(std::string_view text, std::string_view where) {
  std::vector<std::string> items;
  for (std::size_t begin = 0;;) {
    const std::size_t comma = text.find(',', begin);
    const std::string_view item = text.substr(begin, comma - begin);
    if (item.empty())
      throw UsageError(
          text.empty() ? fmt::format("{} needs a value, got an empty one", where)
                       : fmt::format("{} has an empty item in the list {}", where, quote(text)));
    items.emplace_back(item);
    if (comma == std::string_view::npos) return items;
    begin = comma + 1;
  }
}

}  // namespace flashbench::sweep
