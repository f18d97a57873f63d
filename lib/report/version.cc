#include "report/version.h"

#include <fmt/format.h>

#include "report/version_generated.h"

namespace flashbench::report {
namespace {

std::optional<std::string> unless_empty(std::string text) {
  if (text.empty()) return std::nullopt;
  return text;
}

}  // namespace

const BuildInfo& build_info() {
  static const BuildInfo info = [] {
    BuildInfo b;
    b.version = FLASHBENCH_VERSION;
    b.describe = unless_empty(FLASHBENCH_GIT_DESCRIBE);
    b.git_sha = unless_empty(FLASHBENCH_GIT_SHA);
    if (const auto dirty = unless_empty(FLASHBENCH_GIT_DIRTY)) b.dirty = *dirty == "true";
    b.compiler = FLASHBENCH_COMPILER;
    b.flags = FLASHBENCH_FLAGS;
    b.build_type = FLASHBENCH_BUILD_TYPE;
    return b;
  }();
  return info;
}

Tool tool() {
  const BuildInfo& b = build_info();
  Tool t;
  t.version = b.version;
  t.git_sha = b.git_sha;
  t.dirty = b.dirty;
  return t;
}

std::string tool_text(const Tool& t) {
  std::string text = fmt::format("{} {}", t.name, t.version);
  if (t.git_sha)
    text += fmt::format(" ({}{})", t.git_sha->substr(0, 8),
                        t.dirty.value_or(false) ? ", modified" : "");
  return text;
}

std::string version_line() {
  const BuildInfo& b = build_info();
  return fmt::format("flashbench {}{}, {}, {}: {}", b.version,
                     b.describe ? fmt::format(" ({})", *b.describe) : "", b.compiler, b.build_type,
                     b.flags);
}

}  // namespace flashbench::report
