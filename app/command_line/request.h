#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/command_line/command.h"
#include "core/verdict.h"
#include "kernel/backend.h"
#include "measure/limits.h"
#include "report/writer.h"
#include "sweep/expand.h"

namespace flashbench::app {

/// How --profile sorts.
enum class PhaseOrder { kAsTheyRun, kTime, kMemory };

/// What every command that computes is asked for.
struct RunRequest {
  std::string command;  ///< its name
  std::vector<std::string> argv;
  std::vector<sweep::Group> groups;
  std::vector<std::string> given;  ///< names of the workload flags that the user gave
  VerifyMode verify = VerifyMode::kAuto;
  bool profile = false;
  PhaseOrder profile_sort = PhaseOrder::kAsTheyRun;
  std::string trace;  ///< file, or ""
  bool quiet = false;
  bool dry_run = false;
  report::Outputs reports;
};

/// forward and backward: one case.
struct SingleRequest {
  RunRequest run;
  std::string output;       ///< .safetensors, or ""
  std::string save_inputs;  ///< .safetensors, or ""
};

struct BenchRequest {
  RunRequest run;
  measure::Limits limits;
  std::optional<double> budget_s;
  bool calibrate = false;
  bool explain = false;
  std::string resume;          ///< the report to complete, or ""
  bool resume_anyway = false;  ///< even one from another machine or build
};

struct CheckRequest {
  RunRequest run;          ///< its groups are empty when the suite is asked for
  bool suite = false;      ///< no flag named a problem
  sweep::Settings narrow;  ///< for the suite: the flags that name how to compute
  bool list = false;
  std::vector<std::uint64_t> emulated_seeds;  ///< empty: as many as the size of a case allows
  int repeat = 1;                             ///< launches of each case, whose bits are compared
  bool fail_on_skipped = false;
  std::string filter, junit, external;
  std::optional<sweep::Setting> rounds;  ///< what made `external` rounds besides
};

struct InfoRequest {
  std::vector<std::string> argv;
  std::optional<Isa> isa;
  int threads = 0;
  std::string as;        ///< a kind of device whose routes are wanted, or ""
  bool kernels = false;  ///< only their names
  std::string json;
};

/// Two reports, the cases of one, or two programs.
struct CompareRequest {
  std::vector<std::string> argv;
  std::string base, fresh;  ///< reports, or programs with `run`; `fresh` is "" with `by`
  std::string by;           ///< a field, or ""
  bool run = false;
  std::vector<std::string> flags;  ///< of bench, for the programs
  double timeout_s = 600;
  double threshold = 0.03;
  bool fail_on_slower = true, fail_on_ambiguous = false, fail_on_missing = false;
  std::string json, md;
};

/// Each parses what is left of a command line. Throws UsageError, one line.
/// `pass`: kForward or kBoth, which the command does.
SingleRequest single_request(const CommandLine& line, Pass pass, const Backends& backends);
BenchRequest bench_request(const CommandLine& line, const Backends& backends);
CheckRequest check_request(const CommandLine& line, const Backends& backends);
InfoRequest info_request(const CommandLine& line, const Backends& backends);
CompareRequest compare_request(const CommandLine& line);

/// The type that a kernel of `backends` computes; throws UsageError for a name that none has.
AttentionType type_of_kernel(const std::string& kernel, const Backends& backends);

/// What holds where no flag says otherwise, for a command that works with `backends`.
sweep::Defaults defaults(Pass pass, std::vector<AttentionType> types, Shape shape,
                         const Backends& backends);

}  // namespace flashbench::app
