#include <fmt/format.h>

#include "app/command_line/options.h"
#include "app/command_line/request.h"
#include "sweep/number.h"
#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::app {

using sweep::Setting;

namespace {

void parse_fail_on(CompareRequest& request, const Setting& setting) {
  request.fail_on_slower = false;
  for (const std::string& word : sweep::split_list(setting.values[0], setting.where)) {
    if (word == "slower")
      request.fail_on_slower = true;
    else if (word == "ambiguous")
      request.fail_on_ambiguous = true;
    else if (word == "missing")
      request.fail_on_missing = true;
    else if (word != "none" || setting.values[0] != "none")
      throw UsageError(fmt::format("{} takes slower, ambiguous and missing, or none; got {}{}",
                                   setting.where, quote(word),
                                   sweep::did_you_mean(word, {"slower", "ambiguous", "missing"})));
  }
}

/// What the programs are given besides the flags of the user belongs to compare.
void refuse_flags_of_compare(const std::vector<std::string>& flags) {
  for (const std::string& word : flags) {
    const std::string flag = word.substr(0, word.find('='));
    for (const char* taken :
         {"--json", "--csv", "--md", "--bmf", "--github_benchmark", "--dry_run", "--calibrate"})
      if (flag == taken)
        throw UsageError(
            fmt::format("{} behind -- is for bench alone; compare takes its own", flag));
  }
  if (!flags.empty() && !flags[0].starts_with("--"))
    throw UsageError(
        fmt::format("behind -- stand flags of bench, such as --q_len 1k; got {}", quote(flags[0])));
}

}  // namespace

CompareRequest compare_request(const CommandLine& line) {
  const Options options(line);
  CompareRequest request;
  request.argv = line.argv;
  request.flags = line.behind;
  request.by = options.text("by");
  request.json = options.output("json");
  request.md = options.output("md");
  request.fail_on_slower = request.by.empty();
  if (const Setting* s = options.find("threshold"))
    request.threshold = sweep::parse_real(s->values[0], s->where, 0, 10);
  if (const Setting* s = options.find("fail_on")) parse_fail_on(request, *s);

  std::vector<std::string> names = line.operands;
  const auto run = line.plan.base.find("run");
  request.run = run != line.plan.base.end();
  if (request.run && !request.by.empty())
    throw UsageError("--by compares the cases of one report; leave it or --run out");
  if (request.run && !names.empty())
    throw UsageError(
        fmt::format("unexpected argument {}; --run names both programs", quote(names[0])));
  if (!request.run && !request.flags.empty())
    throw UsageError("flags of bench behind -- need programs to run; add --run OLD NEW before it");
  if (!request.run && options.find("timeout") != nullptr)
    throw UsageError("--timeout is for --run; reports are compared at once");
  if (request.run) names = run->second.values;
  request.timeout_s = options.duration("timeout", request.timeout_s);
  refuse_flags_of_compare(request.flags);
  const std::size_t wanted = request.by.empty() ? 2 : 1;
  if (names.size() != wanted)
    throw UsageError(fmt::format(
        "compare takes two reports, one with --by FIELD, or --run OLD NEW; got {}", names.size()));
  request.base = names[0];
  if (wanted == 2) request.fresh = names[1];
  report::require_distinct({.json = request.json, .csv = "", .md = request.md}, {},
                           {request.base, request.fresh});
  return request;
}

InfoRequest info_request(const CommandLine& line, const Backends& backends) {
  const Options options(line);
  InfoRequest request;
  request.argv = line.argv;
  request.json = options.output("json");
  sweep::SweepPlan plan;
  for (const sweep::Field& f : sweep::fields())
    if (f.scope == sweep::Scope::kAlsoInfo)
      if (const Setting* s = options.find(f.name)) plan.base.emplace(f.name, *s);
  sweep::require_single(plan, "info");
  const sweep::Case c =
      sweep::expand(plan, defaults(Pass::kForward, {AttentionType::kFlash}, {}, backends))
          .at(0)
          .cases.at(0);
  request.isa = c.isa;
  request.threads = c.threads;
  request.as = options.text("as");
  request.kernels = options.on("kernels");
  if (request.kernels && (!request.as.empty() || !request.json.empty() || !plan.base.empty()))
    throw UsageError("--kernels prints names alone; leave out the other flags");
  if (!request.as.empty() && !plan.base.empty())
    throw UsageError(fmt::format("--as prints routes alone, which {} does not change",
                                 plan.base.begin()->second.where));
  return request;
}

}  // namespace flashbench::app
