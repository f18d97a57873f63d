#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "sweep/parse.h"

/// A tensor that is made as one of the words of an enumeration says, or read from a file: two
/// members of a case, `kind` and `file`.
namespace flashbench::sweep {

/// None of the words that make a tensor, and no such file: nearly a word, or nothing like a path.
inline void refuse_unknown_word(const std::string& item, const std::string& where,
                                std::vector<std::string> words) {
  std::erase(words, "file");
  std::error_code ignored;
  const std::string hint = did_you_mean(item, words);
  const bool is_path = item.find_first_of("./") != std::string::npos;
  if ((hint.empty() && is_path) || std::filesystem::exists(item, ignored)) return;
  words.push_back("a file");
  throw UsageError(
      fmt::format("{} must be {}, got {}{}", where, alternatives(words), quote(item), hint));
}

template <auto kind>
using KindOf = std::remove_cvref_t<decltype(kind(std::declval<Case&>()))>;

template <auto kind, auto file>
Axis parse_word_or_file(const Asked& a) {
  using Kind = KindOf<kind>;
  Axis axis;
  for_each_word_or_file(a.setting, [&](const std::string& item) {
    const Kind made = from_name<Kind>(item).value_or(Kind::kFile);
    if (made == Kind::kFile) refuse_unknown_word(item, a.setting.where, words_of<Kind>());
    axis.push_back([made, item](Case& c) {
      kind(c) = made;
      file(c) = made == Kind::kFile ? item : "";
    });
  });
  return axis;
}
template <auto kind, auto file>
std::string word_or_file(const Case& c) {
  return kind(c) == KindOf<kind>::kFile ? file(c) : std::string(name(kind(c)));
}
/// A tensor inside the bundle is used without being asked for, so the usual word is said beside
/// one.
template <auto kind, auto file>
bool says_word_or_file(const Case& c) {
  if (kind(c) == KindOf<kind>::kFile) return !file(c).empty();
  return is_set<kind>(c) || !c.problem.files.bundle.empty();
}

/// Takes "; sinks=FILE" and "; sinks_name=NAME" out of what a record says of its input, which
/// follow from where the sinks come from.
inline void erase_from_input(CaseRecord& r, std::string_view tensor) {
  std::string& input = r.workload.input;
  for (const char* what : {"=", "_name="}) {
    const std::size_t at = input.find(fmt::format("; {}{}", tensor, what));
    if (at == std::string::npos) continue;
    const std::size_t end = input.find("; ", at + 2);
    input.erase(at, end == std::string::npos ? end : end - at);
  }
}

}  // namespace flashbench::sweep
