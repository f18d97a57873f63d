#include "data/other_layout.h"

#include <fmt/format.h>

#include <utility>

#include "data/inputs.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

/// Models have fewer heads, but for some that share one of K and V.
constexpr std::int64_t kManyHeads = 64;

Layout other(Layout layout) { return layout == Layout::kBhsd ? Layout::kBshd : Layout::kBhsd; }

std::string_view axes(Layout layout) {
  return layout == Layout::kBhsd ? "[b, h, len, d]" : "[b, len, h, d]";
}

/// Whether the files pose a problem with their axes in the other order.
bool fits_in_other_layout(Problem p, const std::vector<std::string>& given, OpenFiles& open) {
  p.files.layout = other(p.files.layout);
  try {
    resolve_as_laid_out(std::move(p), given, open);
  } catch (const UsageError&) {
    return false;
  }
  return true;
}

/// "" where nothing looks so.
std::string swapped_axes(const Problem& p) {
  const Shape& s = p.shape;
  if (!p.files.any() || s.sequences != nullptr || p.paged()) return "";
  if (s.h < kManyHeads || s.h <= s.q_len || s.h_kv <= s.kv_len) return "";
  const std::string& file = p.files.bundle.empty() ? p.files.q : p.files.bundle;
  const Layout layout = other(p.files.layout);
  return fmt::format(
      "{} has {} heads of {} queries and {} keys; if its axes are {}, say --layout {}",
      escape(file), s.h, s.q_len, s.kv_len, axes(layout), name(layout));
}

}  // namespace

Problem resolve(Problem p, const std::vector<std::string>& given, OpenFiles& open) {
  try {
    return resolve_as_laid_out(p, given, open);
  } catch (const UsageError& e) {
    const Layout layout = other(p.files.layout);
    if (!p.files.any() || !fits_in_other_layout(std::move(p), given, open)) throw;
    throw UsageError(fmt::format("{}; with the axes as {} all fits: --layout {}", e.what(),
                                 axes(layout), name(layout)));
  }
}

std::vector<std::string> input_warnings(const Problem& p, OpenFiles& open) {
  std::vector<std::string> lines = unused_tensors(p, open);
  if (std::string swapped = swapped_axes(p); !swapped.empty()) lines.push_back(std::move(swapped));
  return lines;
}

}  // namespace flashbench::data
