#include "sweep/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace flashbench::sweep {

std::string alternatives(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replace, above[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

std::string closest(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > 64) return "";
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    // One replaced letter in a one-letter name would match every one-letter name.
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known,
                         std::string_view prefix) {
  const std::string match = closest(word, known);
  return match.empty() ? "" : fmt::format("; did you mean '{}{}'?", prefix, match);
}

std::string did_you_mean_name(std::string_view word, const std::vector<std::string>& known) {
  if (std::string whole = did_you_mean(word, known); !whole.empty()) return whole;
  std::vector<std::string> parts;
  for (const std::string& name : known)
    for (std::size_t begin = 0; begin < name.size();) {
      const std::size_t end = std::min(name.find('_', begin), name.size());
      parts.push_back(name.substr(begin, end - begin));
      begin = end + 1;
    }
  const std::string part = closest(word, parts);
  for (const std::string& name : known)
    if (!part.empty() && fmt::format("_{}_", name).find(fmt::format("_{}_", part)) != name.npos)
      return fmt::format("; did you mean '{}'?", name);
  return "";
}

}  // namespace flashbench::sweep
