#include "app/command_line/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <map>

#include "app/command_line/find_config.h"
#include "app/command_line/help.h"
#include "app/command_line/request.h"
#include "report/version.h"
#include "sweep/config.h"
#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

using Args = std::vector<std::string>;

std::vector<std::string> names_of(const Commands& commands) {
  std::vector<std::string> names;
  for (const Command* c : commands) names.emplace_back(c->name);
  return names;
}

bool has(const Args& args, std::string_view word) {
  return std::find(args.begin(), args.end(), word) != args.end();
}

/// `-h` could mean --help or --h, the number of heads: it is refused instead of guessed.
void refuse_short_h(const Args& args) {
  if (has(args, "-h"))
    throw UsageError("-h is not a flag; use --help for help or --h N for the number of heads");
}

const Command& command_of(const std::string& word, const Commands& commands) {
  for (const Command* c : commands)
    if (c->name == word) return *c;
  const std::vector<std::string> names = names_of(commands);
  const std::string all = sweep::alternatives(names);
  if (word.starts_with("-"))
    throw UsageError(fmt::format("the command comes first: {}; got {}", all, quote(word)));
  const std::string hint = sweep::did_you_mean(word, names);
  throw UsageError(
      fmt::format("unknown command {}{}", quote(word), hint.empty() ? "; use " + all : hint));
}

/// What other programs of the field call a flag of ours, which no edit distance finds.
struct OtherName {
  std::string_view theirs, ours;
};
constexpr OtherName kOtherNames[] = {{"batch", "b"},
                                     {"batch_size", "b"},
                                     {"bs", "b"},
                                     {"heads", "h"},
                                     {"nheads", "h"},
                                     {"num_heads", "h"},
                                     {"kv_heads", "h_kv"},
                                     {"nheads_k", "h_kv"},
                                     {"num_kv_heads", "h_kv"},
                                     {"seqlen", "q_len"},
                                     {"seq_len", "q_len"},
                                     {"seqlen_q", "q_len"},
                                     {"seqlen_k", "kv_len"},
                                     {"seqlen_kv", "kv_len"},
                                     {"kv_seqlen", "kv_len"},
                                     {"headdim", "d"},
                                     {"head_dim", "d"},
                                     {"head_size", "d"},
                                     {"headdim_v", "d_v"},
                                     {"head_dim_v", "d_v"},
                                     {"is_causal", "causal"},
                                     {"softmax_scale", "scale"}};

/// "; did you mean '--q_len'?", or "".
std::string meant(const std::string& word, const std::vector<std::string>& known) {
  for (const OtherName& other : kOtherNames)
    if (other.theirs == word && has(known, other.ours))
      return fmt::format("; did you mean '--{}'?", other.ours);
  return sweep::did_you_mean(word, known, "--");
}

/// Says what an argument that no flag took might have been.
UsageError stray(const std::string& word, const Command& command, const Commands& commands) {
  if (!word.starts_with("-") || word == "-")
    return UsageError(
        fmt::format("unexpected argument {}; every value belongs to a flag, see "
                    "flashbench {} --help",
                    quote(word), command.name));
  const std::string flag = word.substr(0, word.find('='));
  std::string bare = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  std::replace(bare.begin(), bare.end(), '-', '_');
  std::string others;
  for (const Command* c : commands)
    if (has(flag_names(*c), bare) && c != &command)
      others += fmt::format("{}{}", others.empty() ? "" : ", ", c->name);
  const std::vector<std::string> known = flag_names(command);
  std::string hint = has(known, bare) ? fmt::format("; did you mean '--{}'?", bare)
                     : others.empty()
                         ? meant(bare, known)
                         : fmt::format(" of {}; it belongs to {}", command.name, others);
  if (hint.empty()) hint = fmt::format("; see flashbench {} --help", command.name);
  return UsageError(fmt::format("unknown flag {}{}", quote(flag), hint));
}

/// CLI11 splits the words; every value stays text, because its own numbers read 010 as 8.
/// What a command takes besides flags goes to `operands`.
sweep::Settings parse_flags(const Command& command, const Commands& commands, const Args& args,
                            Args& operands) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::map<std::string, CLI::Option*> options;
  std::map<std::string, std::size_t> most_values;
  for (const FlagGroup& group : flags_of(command))
    for (const Flag& flag : group.flags) {
      CLI::Option* option = app.add_option("--" + std::string(flag.name));
      option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      if (flag.value.empty()) option->expected(0, 1);
      if (value_count(flag) > 1) option->expected(value_count(flag));
      options.emplace(flag.name, option);
      most_values.emplace(flag.name, flag.repeats ? std::numeric_limits<int>::max()
                                                  : std::max(1, value_count(flag)));
    }
  try {
    Args reversed(args.rbegin(), args.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    const std::string what = e.what();
    throw UsageError(fmt::format("{} needs a value; see flashbench {} --help",
                                 what.substr(0, what.find(':')), command.name));
  }

  sweep::Settings settings;
  for (const auto& [flag, option] : options) {
    if (option->count() == 0) continue;
    const std::string where = "--" + flag;
    const Args values = option->results();
    if (values.size() > most_values.at(flag))
      throw UsageError(fmt::format("{} is given {} times; give it once", where,
                                   values.size() / most_values.at(flag)));
    for (const std::string& value : values)
      if (value.starts_with("--"))
        throw UsageError(fmt::format("{} needs a value, got the flag {}", where, quote(value)));
    settings[flag] = {values.empty() ? Args{""} : values, where};
  }
  // After the flags: one that took the next flag as its value explains what was left over better.
  for (const std::string& word : app.remaining()) {
    if (!command.takes_operands || word.starts_with("-")) throw stray(word, command, commands);
    operands.push_back(word);
  }
  return settings;
}

/// Flags that take the place of what differs from point to point of a config: "--q_len, --d".
std::string replaced_in_points(const sweep::Settings& flags, const sweep::SweepPlan& config) {
  std::string names;
  for (const auto& [name, setting] : flags) {
    const bool replaces =
        std::any_of(config.zip.begin(), config.zip.end(),
                    [&](const sweep::Settings& point) { return point.contains(name); });
    if (replaces) names += fmt::format("{}--{}", names.empty() ? "" : ", ", name);
  }
  return names;
}

/// "--help", "help", "help bench", "bench --help"; "" where none is asked for.
std::string help_asked(const Args& args, const Commands& commands, const Backends& backends) {
  const auto of = [&](const Command& command) {
    return command_help(command, flag_groups(defaults(Pass::kForward, {}, {}, backends)));
  };
  if (args[0] == "--help") return general_help(commands);
  if (args[0] == "help") {
    if (args.size() == 1) return general_help(commands);
    if (args.size() > 2)
      throw UsageError(fmt::format("help takes one command; got {}", quote(args[2])));
    return of(command_of(args[1], commands));
  }
  const Command& command = command_of(args[0], commands);
  return has(args, "--help") ? of(command) : "";
}

}  // namespace

Invocation parse_command_line(const std::vector<std::string>& argv, const Commands& commands,
                              const Backends& backends) {
  Args args(argv.begin() + std::min<std::ptrdiff_t>(1, std::ssize(argv)), argv.end());
  // CLI11 would go on reading flags behind "--".
  Args behind;
  if (const auto end = std::find(args.begin(), args.end(), "--"); end != args.end()) {
    behind.assign(end + 1, args.end());
    const bool taken = std::any_of(commands.begin(), commands.end(), [&](const Command* c) {
      return c->takes_operands && c->name == args[0];
    });
    if (!behind.empty() && !taken)
      throw UsageError(
          fmt::format("unexpected argument {}; every value belongs to a flag", quote(behind[0])));
    args.erase(end, args.end());
  }
  refuse_short_h(args);
  if (args.empty())
    throw UsageError(
        fmt::format("no command; use {}, or --help", sweep::alternatives(names_of(commands))));
  if (args[0] == "--version") return {std::nullopt, report::version_line() + "\n"};
  if (std::string help = help_asked(args, commands, backends); !help.empty())
    return {std::nullopt, std::move(help)};
  const Command& command = command_of(args[0], commands);
  args.erase(args.begin());
  if (has(args, "--version")) return {std::nullopt, report::version_line() + "\n"};

  Args operands;
  sweep::Settings flags = parse_flags(command, commands, args, operands);
  sweep::SweepPlan config;
  std::string config_file;
  if (const auto it = flags.find("config"); it != flags.end()) {
    config_file = find_config(it->second.values[0]);
    config = sweep::read_config(config_file, config_names(command));
    flags.erase(it);
  }
  if (const auto part = flags.find("part"); part != flags.end()) {
    if (config_file.empty()) throw UsageError("--part needs --config");
    sweep::keep_parts(config, part->second.values[0], config_file);
    flags.erase(part);
  }
  std::string note;
  if (const std::string replaced = replaced_in_points(flags, config); !replaced.empty())
    note = fmt::format(
        "note: {} replaces what differs from case to case in {}: these are other "
        "cases than the config's\n",
        replaced, escape(config_file));
  return {CommandLine{&command, sweep::merge(flags, std::move(config)), std::move(config_file),
                      argv, std::move(operands), std::move(behind)},
          "", std::move(note)};
}

}  // namespace flashbench::app
