#include "sweep/ragged.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <limits>

#include "system/error.h"
#include "system/quote.h"

namespace flashbench::sweep {
namespace {

constexpr std::int64_t kMostRows = std::numeric_limits<std::int32_t>::max();

/// Reads "2k" off the front of a word; -1 where that is more than anybody has.
std::optional<std::int64_t> take_size(std::string_view& word) {
  std::int64_t size = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
  if (end == word.data() || size < 0 || word.front() == '-') return std::nullopt;
  word.remove_prefix(static_cast<std::size_t>(end - word.data()));
  if (error != std::errc()) size = -1;
  if (!word.empty() && word.front() == 'k') {
    word.remove_prefix(1);
    size = size > kMostRows ? -1 : size * 1024;
  }
  return size > kMostRows ? -1 : size;
}

bool take(std::string_view& word, char letter) {
  if (word.empty() || word.front() != letter) return false;
  word.remove_prefix(1);
  return true;
}

struct Run {
  std::int64_t count = 1;
  SequenceLengths each;
};

std::optional<Run> take_run(std::string_view& word) {
  Run run;
  if (!word.empty() && word.front() != 'q') {
    const auto count = take_size(word);
    if (!count) return std::nullopt;
    run.count = *count;
  }
  if (!take(word, 'q')) return std::nullopt;
  const auto queries = take_size(word);
  if (!queries) return std::nullopt;
  run.each = {*queries, *queries};
  if (!take(word, 's')) return run;
  const auto keys = take_size(word);
  if (!keys) return std::nullopt;
  run.each.keys = *keys;
  return run;
}

std::string size_text(std::int64_t n) {
  return n != 0 && n % 1024 == 0 ? fmt::format("{}k", n / 1024) : fmt::format("{}", n);
}

}  // namespace

std::optional<std::vector<SequenceLengths>> parse_ragged(std::string_view word,
                                                         std::string_view where) {
  const std::string whole(word);
  std::vector<Run> runs;
  do {
    const auto run = take_run(word);
    if (!run) return std::nullopt;
    runs.push_back(*run);
  } while (take(word, '_'));
  if (!word.empty()) return std::nullopt;
  std::vector<SequenceLengths> all;
  std::int64_t queries = 0, keys = 0;
  for (const Run& run : runs) {
    if (run.count == 0 || run.each.queries == 0 || run.each.keys == 0)
      throw UsageError(fmt::format(
          "{} {}: a count or a length is 0; every sequence must have queries and keys (a file may "
          "hold empty ones)",
          where, quote(whole)));
    const bool too_many =
        run.count < 0 || run.count > kMostSequences || run.each.queries < 0 || run.each.keys < 0;
    if (!too_many) {
      queries += run.count * run.each.queries;
      keys += run.count * run.each.keys;
    }
    if (too_many || queries > kMostRows || keys > kMostRows ||
        static_cast<std::int64_t>(all.size()) + run.count > kMostSequences)
      throw UsageError(fmt::format(
          "{} {}: there may be {} sequences, and {} queries and keys in all, at the most", where,
          quote(whole), kMostSequences, kMostRows));
    all.insert(all.end(), static_cast<std::size_t>(run.count), run.each);
  }
  return all;
}

std::string ragged_text(const Sequences& sequences) {
  std::string text;
  for (std::int64_t i = 0; i < sequences.count();) {
    std::int64_t end = i + 1;
    while (end < sequences.count() && sequences[end] == sequences[i]) ++end;
    const auto& [queries, keys] = sequences[i];
    text += fmt::format("{}{}q{}", i > 0 ? "_" : "", end - i > 1 ? fmt::format("{}", end - i) : "",
                        size_text(queries));
    if (keys != queries) text += fmt::format("s{}", size_text(keys));
    i = end;
  }
  return text;
}

}  // namespace flashbench::sweep
