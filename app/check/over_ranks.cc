#include "app/check/over_ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/enumerators.h"
#include "distributed/context_parallel.h"
#include "sweep/number.h"
#include "sweep/parse.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

using distributed::Arrangement;
using distributed::Engine;
using distributed::Method;
using distributed::SequenceLayout;

constexpr std::string_view kMethods = "context_parallel", kEngine = "engine", kRanks = "ranks",
                           kLayouts = "layout_seq", kUlysses = "ulysses", kWindow = "ring_window";
constexpr sweep::Limits kRankLimits{1, 256};

/// Without --ranks: of the suite, and of a workload.
constexpr int kSuiteRanks[] = {1, 2, 3, 4, 5, 8};
constexpr int kSomeRanks = 2;

class Flags {
 public:
  explicit Flags(const CommandLine& line) : given_(line.plan.base) {}

  bool has(std::string_view flag) const { return given_.contains(flag); }

  template <typename T>
  std::vector<T> words(std::string_view flag) const {
    std::vector<T> chosen;
    if (has(flag))
      sweep::for_each_item(setting(flag), [&](const std::string& item) {
        chosen.push_back(sweep::choose(item, setting(flag).where, sweep::enumerators<T>()));
      });
    return chosen;
  }
  std::vector<int> counts(std::string_view flag, std::vector<int> otherwise) const {
    if (!has(flag)) return otherwise;
    std::vector<int> all;
    for (const std::string& value : setting(flag).values)
      for (const std::int64_t n : sweep::parse_counts(value, setting(flag).where, kRankLimits))
        all.push_back(static_cast<int>(n));
    return all;
  }
  const sweep::Setting& setting(std::string_view flag) const { return given_.find(flag)->second; }

 private:
  const sweep::Settings& given_;
};

void refuse_alone(const Flags& flags) {
  for (const std::string_view flag : {kEngine, kRanks, kLayouts, kUlysses, kWindow})
    if (flags.has(flag))
      throw UsageError(fmt::format("{} is for --{}", flags.setting(flag).where, kMethods));
}

void refuse_what_looks_elsewhere(const Flags& flags) {
  if (flags.has("external"))
    throw UsageError(fmt::format(
        "--external is one result to judge, which --{} does not do; leave one of them out",
        kMethods));
  if (flags.has("profile"))
    throw UsageError(fmt::format("--profile does not look into ranks; leave out --{}", kMethods));
}

bool names_kernel(const std::vector<std::string>& given) {
  return std::any_of(given.begin(), given.end(),
                     [](const std::string& flag) { return flag == "type" || flag == "kernel"; });
}

/// As the flags say it: " --context_parallel ring --engine threads --ranks 3".
std::string flags_of(const Arrangement& of) {
  std::string text =
      fmt::format(" --{} {} --{} {} --{} {} --{} {}", kMethods, name(of.method), kEngine,
                  name(Engine::kThreads), kRanks, of.ranks, kLayouts, name(of.layout));
  if (of.ulysses != 1) text += fmt::format(" --{} {}", kUlysses, of.ulysses);
  if (of.window != 0) text += fmt::format(" --{} {}", kWindow, of.window);
  return text;
}

/// ", ring of 3, zigzag", behind the name of a workload.
std::string text_of(const Arrangement& of) {
  std::string text = fmt::format(", {} of {}, {}", name(of.method), of.ranks, name(of.layout));
  if (of.ulysses != 1) text += fmt::format(", heads over {}", of.ulysses);
  if (of.window != 0) text += fmt::format(", inner rings of {}", of.window);
  return text;
}

/// What tells it from others in the name of a case.
std::string label_of(const Arrangement& of) {
  std::string text = fmt::format("/{}/ranks{}/{}", name(of.method), of.ranks, name(of.layout));
  if (of.ulysses != 1) text += fmt::format("/{}{}", kUlysses, of.ulysses);
  if (of.window != 0) text += fmt::format("/{}{}", kWindow, of.window);
  return text;
}

}  // namespace

FlagGroup over_ranks_flags() {
  using enum FlagSet;
  return {
      "Over ranks",
      {
          {kMethods, "LIST",
           "split the sequence over ranks: ring, all_gather or ulysses; none (the default)",
           kCheck},
          {kEngine, "E", "what joins ranks: threads, which are ranks of this process", kCheck},
          {kRanks, "LIST", "(default: 2; of the suite 1,2,3,4,5,8); they share --threads", kCheck},
          {kLayouts, "LIST",
           "which rows a rank owns: contiguous, zigzag or striped (default: zigzag if causal,"
           " else contiguous; of the suite all)",
           kCheck},
          {kUlysses, "LIST",
           "split heads over so many ranks each, the sequence over the others (default: 1)",
           kCheck},
          {kWindow, "LIST", "a ring of rings of so many ranks (default: one ring)", kCheck},
      }};
}

OverRanks::OverRanks(const CommandLine& line, bool suite) {
  const Flags flags(line);
  std::vector<Method> methods = flags.words<Method>(kMethods);
  std::erase(methods, Method::kNone);
  if (methods.empty()) {
    refuse_alone(flags);
    return;
  }
  refuse_what_looks_elsewhere(flags);
  flags.words<Engine>(kEngine);
  std::vector<SequenceLayout> layouts = flags.words<SequenceLayout>(kLayouts);
  const bool own_layout = suite || !layouts.empty();
  if (layouts.empty() && suite)
    layouts.assign(kEnumerators<SequenceLayout>.begin(), kEnumerators<SequenceLayout>.end());
  if (layouts.empty()) layouts = {SequenceLayout::kContiguous};
  std::vector<int> some_ranks = {kSomeRanks};
  if (suite) some_ranks.assign(std::begin(kSuiteRanks), std::end(kSuiteRanks));
  for (const Method method : methods)
    for (const int ranks : flags.counts(kRanks, some_ranks))
      for (const int ulysses : flags.counts(kUlysses, {1}))
        for (const int window : flags.counts(kWindow, {0}))
          for (const SequenceLayout layout : layouts) {
            const Arrangement of{method, ranks, ulysses, window, layout};
            if (const auto why = distributed::invalid(of)) throw UsageError(why->reason);
            ways_.push_back({of, own_layout});
          }
}

std::vector<NamedGroup> OverRanks::cases(const CheckRequest& request,
                                         const Backends& backends) const {
  if (request.suite)
    return asked() ? over_ranks(suite_over_ranks(request.narrow, backends))
                   : suite(request.narrow, backends);
  std::vector<NamedGroup> groups = named(request.run.groups, request.run.given);
  if (!asked()) return groups;
  if (!names_kernel(request.run.given))  // other types than flash compute no parts
    for (NamedGroup& group : groups)
      std::erase_if(group.cases, [](const NamedCase& c) {
        return c.request.type == AttentionType::kNormal || c.request.type == AttentionType::kPaper;
      });
  groups = over_ranks(std::move(groups));
  for (NamedGroup& group : groups)
    for (NamedCase& c : group.cases) c.row += text_of(*c.over);
  return groups;
}

std::vector<NamedGroup> OverRanks::over_ranks(std::vector<NamedGroup> groups) const {
  for (NamedGroup& group : groups) {
    const std::vector<NamedCase> cases = std::exchange(group.cases, {});
    for (const NamedCase& c : cases)
      for (const Way& way : ways_) {
        NamedCase& over = group.cases.emplace_back(c);
        over.over = way.of;
        if (!way.own_layout && c.request.problem.causal)
          over.over->layout = SequenceLayout::kZigzag;
        if (!over.request.backend) over.request.backend = kProcessor;  // whose threads they are
        over.name += label_of(*over.over);
        over.more_flags = flags_of(*over.over);
      }
  }
  return groups;
}

void OverRanks::route(const std::vector<NamedGroup>& named, std::vector<RoutedGroup>& groups) {
  for (std::size_t i = 0; i < groups.size(); ++i)
    for (std::size_t j = 0; j < groups[i].cases.size(); ++j) {
      RoutedCase& c = groups[i].cases[j];
      if (!c.runs() || !named[i].cases[j].over) continue;
      kernels_.push_back(distributed::context_parallel(*c.route->kernel, *named[i].cases[j].over));
      c.route->kernel = kernels_.back().get();
      c.skipped = c.route->kernel->refuses(c.request.problem, c.route->execution);
      if (c.skipped) c.route.reset();
    }
}

}  // namespace flashbench::app
