#include "app/command_line/help.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/enumerators.h"

namespace flashbench::app {
namespace {

constexpr std::size_t kFlagColumn = 20;
constexpr std::size_t kWidth = 100;

struct CommandText {
  std::string_view summary;
  std::string_view more;
};

CommandText text_of(Command c) {
  switch (c) {
    case Command::kForward:
      return {
          "one forward pass on random or real tensors, verified",
          "Prints a summary; --output writes o and lse. The defaults are --b 1 --h 2 --q_len 4096\n"
          "--d 512 --type flash.\n"
          "\n"
          "Examples:\n"
          "  flashbench forward --causal\n"
          "  flashbench forward --mask random --dtype bf16\n"
          "  flashbench forward --input qkv.safetensors --output o.safetensors --causal\n"};
    case Command::kBackward:
      return {
          "one forward and backward pass, verified",
          "Prints a summary; --output writes o, lse, dq, dk and dv. The defaults are --b 1 --h 2\n"
          "--q_len 4096 --d 512 --type flash.\n"
          "\n"
          "Examples:\n"
          "  flashbench backward --causal --do random\n"
          "  flashbench backward --q q.npy --k k.npy --v v.npy --do do.npy --output "
          "g.safetensors\n"};
    case Command::kBench:
      return {"measure; every workload flag takes lists and ranges",
              "Without --type, flash and normal are measured interleaved and compared. The "
              "defaults are\n"
              "--b 1 --h 2 --q_len 4096 --d 512 --pass forward.\n"
              "\n"
              "Numbers are digits with an optional k (1024) or m (1024*1024). Lists: 1k,2k,4k. "
              "Ranges:\n"
              "512:16k:x2 (times 2), 64:256:+64; the end is included when it is hit.\n"
              "\n"
              "Examples:\n"
              "  flashbench bench\n"
              "  flashbench bench --causal --q_len 512:16k:x2 --d 64,128 --json report.json\n"
              "  flashbench bench --mask random --pass both --profile\n"
              "  flashbench bench --config configs/quick.json --budget 60s\n"};
    case Command::kCheck:
      return {
          "verify against the fp64 oracles; every workload flag takes lists and ranges",
          "Without flags of the group Workload it runs its suite: types, passes, masks, dtypes "
          "and\n"
          "awkward shapes, and the chain from automatic differentiation to every kernel. Flags of\n"
          "the group \"How it is computed\" narrow the suite to what they name.\n"
          "With workload flags it checks that workload, by default --b 1 --h 1 --q_len 2048 --d "
          "512\n"
          "with every type that takes it.\n"
          "\n"
          "Examples:\n"
          "  flashbench check\n"
          "  flashbench check --isa avx2 --filter '*bf16*' --junit check.xml\n"
          "  flashbench check --pass backward --causal\n"
          "  flashbench check --input qkv.safetensors --external o.safetensors\n"};
    case Command::kCompare:
      return {
          "two reports, or two programs in turn: SLOWER, FASTER, SAME or AMBIGUOUS",
          "  flashbench compare BASE.json NEW.json\n"
          "  flashbench compare REPORT.json --by isa\n"
          "  flashbench compare --run OLD_PROGRAM NEW_PROGRAM -- flags of bench\n"
          "\n"
          "A ratio of medians, new over base, with an interval that holds for all cases together\n"
          "(95 %, Holm). A verdict needs the whole interval on one side of the threshold; noise\n"
          "makes it AMBIGUOUS. Two reports cannot show what the machine did between them: store\n"
          "it with bench --calibrate, or use --run, which interleaves both programs in rounds of\n"
          "fresh processes and goes on while a case is AMBIGUOUS.\n"
          "\n"
          "Exit 1: a case is SLOWER (or what --fail_on names), a new result is wrong or failed.\n"
          "\n"
          "Examples:\n"
          "  flashbench compare base.json new.json --fail_on slower,missing --md comment.md\n"
          "  flashbench compare sweep.json --by type\n"
          "  flashbench compare --run build/old/flashbench build/new/flashbench -- --q_len 1k --d "
          "64\n"};
    case Command::kInfo:
      return {"the processor, its limits, kernels and measured peaks",
              "Examples:\n"
              "  flashbench info\n"
              "  flashbench info --json -\n"};
  }
  no_such_enumerator();
}

/// Breaks `text` at spaces; lines after the first are indented to `column`.
std::string wrapped(std::string_view text, std::size_t column) {
  std::string out;
  std::size_t at = column;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    if (at > column && at + 1 + word.size() > kWidth) {
      out += '\n' + std::string(column, ' ');
      at = column;
    } else if (at > column) {
      out += ' ';
      ++at;
    }
    out += word;
    at += word.size();
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
  }
  return out;
}

std::string flag_line(const Flag& flag) {
  std::string left = fmt::format("  --{}", flag.name);
  if (!flag.value.empty()) left += fmt::format(" {}", flag.value);
  if (flag.help.empty()) return left + "\n";
  left.resize(std::max(left.size() + 2, kFlagColumn), ' ');
  return left + wrapped(flag.help, left.size()) + "\n";
}

}  // namespace

std::string general_help() {
  std::string text =
      "flashbench: how fast is attention here, how much does FlashAttention buy, and is it right?\n"
      "\n"
      "Usage: flashbench <command> [flags]\n"
      "\n"
      "Commands:\n";
  for (const Command c : kCommands)
    text += fmt::format("  {:<10}{}\n", name(c), text_of(c).summary);
  text +=
      "\n"
      "`flashbench <command> --help` lists its flags; `flashbench --version` says what this is.\n"
      "\n"
      "Exit codes: 0 all well, or the rest was skipped with its reasons; 1 a result is wrong or a\n"
      "case failed; 2 bad input; 3 nothing of the request can run here; 130 and 143 interrupted.\n";
  return text;
}

std::string command_help(Command c) {
  const CommandText about = text_of(c);
  std::string text = fmt::format("flashbench {}: {}\n\nUsage: flashbench {} [flags]\n\n{}", name(c),
                                 about.summary, name(c), about.more);
  for (const FlagGroup& group : flag_groups()) {
    std::string lines;
    for (const Flag& flag : group.flags)
      if (takes(c, flag)) lines += flag_line(flag);
    if (!lines.empty()) text += fmt::format("\n{}:\n{}", group.title, lines);
  }
  return text;
}

}  // namespace flashbench::app
