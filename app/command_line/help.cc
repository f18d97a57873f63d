#include "app/command_line/help.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/layout.h"
namespace flashbench::app {
namespace {

constexpr std::size_t kFlagColumn = 20;
constexpr std::size_t kWidth = 100;

std::string flag_line(const Flag& flag) {
  std::string left = fmt::format("  --{}", flag.name);
  if (!flag.value.empty()) left += fmt::format(" {}", flag.value);
  if (flag.help.empty()) return left + "\n";
  left.resize(std::max(left.size() + 2, kFlagColumn), ' ');
  return left + report::wrapped(flag.help, left.size(), kWidth) + "\n";
}

}  // namespace

std::string general_help(const Commands& commands) {
  std::string text =
      "flashbench: how fast is attention here, how much does FlashAttention buy, and is it right?\n"
      "\n"
      "Usage: flashbench <command> [flags]\n"
      "\n"
      "Commands:\n";
  for (const Command* c : commands) text += fmt::format("  {:<10}{}\n", c->name, c->summary);
  text +=
      "\n"
      "`flashbench <command> --help`, or `flashbench help <command>`, lists its flags;\n"
      "`flashbench --version` says what this is.\n"
      "\n"
      "Exit codes: 0 all well, or the rest was skipped with its reasons; 1 a result is wrong or a\n"
      "case failed; 2 bad input; 3 nothing of the request can run here; 129, 130 and 143 a "
      "signal.\n";
  return text;
}

std::string command_help(const Command& command, const std::vector<FlagGroup>& groups) {
  std::string text = fmt::format("flashbench {}: {}\n\nUsage: flashbench {} [flags]\n\n{}",
                                 command.name, command.summary, command.name, command.more);
  for (const FlagGroup& group : flags_of(command, groups)) {
    text += fmt::format("\n{}:\n", group.title);
    for (const Flag& flag : group.flags) text += flag_line(flag);
  }
  return text;
}

}  // namespace flashbench::app
