#include "app/command_line/request.h"

#include <fmt/format.h>

#include "app/command_line/run_request.h"
#include "registry/registry.h"
#include "report/earlier_run.h"
#include "sweep/number.h"
#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::app {

using sweep::Setting;

sweep::Defaults defaults(Pass pass, std::vector<AttentionType> types, Shape shape,
                         const Backends& backends) {
  sweep::Defaults all;
  all.shape = shape;
  all.pass = pass;
  all.types = std::move(types);
  for (const Backend* b : backends)
    if (!b->info().of_guests) all.backends.push_back(b->info());
  all.type_of_kernel = [&backends](const std::string& kernel) {
    return std::optional<AttentionType>(type_of_kernel(kernel, backends));
  };
  return all;
}

AttentionType type_of_kernel(const std::string& kernel, const Backends& backends) {
  std::vector<std::string> names;
  for (const Kernel* k : registry::kernels(backends)) {
    if (k->info().name == kernel) return k->info().type;
    names.push_back(k->info().name);
  }
  throw UsageError(fmt::format("--kernel {} is not in this build; use {}{}", quote(kernel),
                               sweep::alternatives(names),
                               sweep::did_you_mean_name(kernel, names)));
}

SingleRequest single_request(const CommandLine& line, Pass pass, const Backends& backends) {
  const Options options(line);
  const bool forward = pass == Pass::kForward;
  sweep::require_single(line.plan, line.command->name);
  SingleRequest request{run_request(line, options), options.output("output"),
                        options.text("save_inputs")};
  for (const auto& [flag, path] :
       {std::pair("output", &request.output), {"save_inputs", &request.save_inputs}})
    if (path->ends_with(".npy"))
      throw UsageError(fmt::format("--{} writes several tensors, a .safetensors file; got {}", flag,
                                   quote(*path)));
  request.run.groups = sweep::expand(
      line.plan, defaults(pass, guests_or(line.plan, {AttentionType::kFlash}), {}, backends));
  report::require_distinct(request.run.reports,
                           {{"--output", request.output},
                            {"--save_inputs", request.save_inputs},
                            {"--trace", request.run.trace}},
                           files_read(line, request.run));
  Problem& p = request.run.groups[0].cases[0].problem;
  if (forward && p.pass != Pass::kForward)
    throw UsageError(
        fmt::format("--pass {} in flashbench forward; use flashbench backward or "
                    "bench",
                    name(p.pass)));
  if (!forward && p.pass == Pass::kForward)
    throw UsageError("--pass forward in flashbench backward; use flashbench forward");
  if (!forward) p.pass = Pass::kBoth;      // one forward and one backward pass, either way
  request.run.given.emplace_back("pass");  // by the command
  return request;
}

BenchRequest bench_request(const CommandLine& line, const Backends& backends) {
  const Options options(line);
  BenchRequest request;
  request.run = run_request(line, options);
  request.run.groups = sweep::expand(
      line.plan, defaults(Pass::kForward,
                          with_guests(line.plan, {AttentionType::kFlash, AttentionType::kNormal}),
                          {}, backends));
  measure::Limits& limits = request.limits;
  if (const Setting* s = options.find("max_noise"))
    limits.max_noise = sweep::parse_real(s->values[0], s->where, 1e-6, 1);
  if (const Setting* s = options.find("min_samples"))
    limits.min_samples = static_cast<int>(sweep::parse_count(s->values[0], s->where, {1, 1000000}));
  limits.min_time_s = options.duration("min_time", limits.min_time_s);
  limits.timeout_s = options.duration("timeout", limits.timeout_s);
  if (options.find("budget") != nullptr) request.budget_s = options.duration("budget", 0);
  request.run.reports.bmf = options.output("bmf");
  request.run.reports.github = options.output("github_benchmark");
  request.calibrate = options.on("calibrate");
  request.explain = options.on("explain");
  request.resume = options.text("resume");
  request.resume_anyway = options.on("resume_anyway");
  if (request.resume_anyway && request.resume.empty())
    throw UsageError("--resume_anyway needs --resume FILE");
  if (!request.resume.empty() && request.run.reports.json.empty())
    request.run.reports.json = report::without_partial(request.resume);
  const report::Outputs& reports = request.run.reports;
  const std::vector<report::NamedOutput> trace = {{"--trace", request.run.trace}};
  report::require_distinct(reports, trace, files_read(line, request.run));
  // --json may complete the report that it resumes.
  report::Outputs others = reports;
  others.json.clear();
  report::require_distinct(others, trace, {request.resume});
  return request;
}

}  // namespace flashbench::app
