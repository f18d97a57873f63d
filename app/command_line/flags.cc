#include "app/command_line/flags.h"

#include <algorithm>

namespace flashbench::app {
namespace {

using enum FlagSet;

FlagGroup workload() {
  return {
      "Workload",
      {
          {"b", "N", "batch", kComputes},
          {"h", "N", "query heads", kComputes},
          {"h_kv", "N", "key/value heads; divides --h (default: --h)", kComputes},
          {"q_len", "N", "queries", kComputes},
          {"kv_len", "N", "keys (default: --q_len)", kComputes},
          {"d", "N", "head dimension, up to 1024", kComputes},
          {"pass", "P", "forward, backward or both", kComputes},
          {"dtype", "T", "f32, bf16 or f16 (default: f32)", kComputes},
          {"causal", "", "query i sees key j iff j <= i + kv_len - q_len", kComputes},
          {"mask", "M", "keys that are kept: none, random or FILE (default: none)", kComputes},
          {"mask_keep", "P", "probability that a random mask keeps a key (default: 0.5)",
           kComputes},
          {"do", "G", "gradient of the output: ones, random or FILE (default: ones)", kComputes},
          {"scale", "X", "factor of the scores (default: 1/sqrt(d))", kComputes},
          {"seed", "N", "of the random tensors and the random mask (default: 0)", kComputes},
          {"config", "FILE", "read flags from JSON; flags given here win", kComputes},
      }};
}

FlagGroup execution() {
  return {"How it is computed",
          {
              {"type", "T", "flash, normal or paper", kComputes},
              {"backend", "B", "auto, cpu or cuda (default: auto)", kComputes},
              {"device", "N", "which GPU (default: 0); emulated: run CUDA kernels on the processor",
               kComputes},
              {"emulated_seeds", "LIST",
               "orders in which the emulated device executes every case (default: 1,2,3 for small"
               " ones)",
               kCheck},
              {"isa", "I", "scalar, sse4, avx2, avx512, avx512_bf16 or neon (default: the best)",
               kMachine},
              {"threads", "N", "(default: the cores that this process may use)", kMachine},
              {"kernel", "NAME", "force one kernel; `flashbench info` lists them", kComputes},
              {"deterministic", "", "bitwise equal gradients from run to run", kComputes},
              {"q_block", "N", "query block of --type paper (default: 64)", kComputes},
              {"kv_block", "N", "key block of --type paper (default: 64)", kComputes},
          }};
}

FlagGroup tensors() {
  return {"Real tensors",
          {
              {"input", "FILE", ".safetensors with q, k, v and perhaps mask and do", kComputes},
              {"q", "FILE", "one tensor a file, .npy or .safetensors; with --k and --v", kComputes},
              {"k", "FILE", "", kComputes},
              {"v", "FILE", "", kComputes},
              {"q_name", "NAME", "name of the tensor in the file (default: q)", kComputes},
              {"k_name", "NAME", "(default: k)", kComputes},
              {"v_name", "NAME", "(default: v)", kComputes},
              {"do_name", "NAME", "(default: do)", kComputes},
              {"mask_name", "NAME", "(default: mask)", kComputes},
              {"layout", "L", "axes in files: bhsd or bshd (default: bhsd)", kComputes},
              {"external", "FILE", "verify these o, lse, dq, dk, dv of --input, from any library",
               kCheck},
              {"output", "FILE", "write the results to this .safetensors; - for stdout", kSingle},
              {"save_inputs", "FILE", "write q, k, v and what else went in to this .safetensors",
               kSingle},
          }};
}

FlagGroup selection() {
  return {"The suite",
          {
              {"list", "", "name the cases and stop", kCheck},
              {"filter", "TEXT", "only cases whose name holds TEXT, or matches it with * and ?",
               kCheck},
          }};
}

FlagGroup timing() {
  return {"Timing",
          {
              {"max_noise", "X",
               "stop below this noise: half of the 95 % interval of the median,"
               " as a share of it (default: 0.01)",
               kBench},
              {"min_samples", "N", "(default: 10)", kBench},
              {"min_time", "TIME", "of timed calls (default: 0.5s)", kBench},
              {"timeout", "TIME", "per case (default: 20s)", kBench},
              {"budget", "TIME", "share this time over all cases", kBench},
              {"cache", "C", "warm or cold operands (default: warm)", kBench},
              {"calibrate", "",
               "also time every case in fresh processes, for what a run itself adds; compare uses"
               " it",
               kBench},
          }};
}

FlagGroup comparison() {
  return {
      "Comparison",
      {
          {"threshold", "X", "differences up to this share are the same (default: 0.03)", kCompare},
          {"fail_on", "LIST",
           "exit 1 on slower, ambiguous, missing, or none (default: slower; with --by: none)",
           kCompare},
          {"by", "FIELD",
           "compare the cases of one report that differ in this field: type, isa, threads,"
           " dtype, ...",
           kCompare},
          {"run", "OLD NEW", "two programs, run in turn with the flags behind --", kCompare},
          {"timeout", "TIME", "of --run (default: 10m)", kCompare},
      }};
}

FlagGroup output() {
  return {"Checks and output",
          {
              {"verify", "V", "auto, full, sample or none (default: auto)", kComputes},
              {"profile", "", "calls, time, speed and memory of each phase and thread", kComputes},
              {"profile_sort", "BY", "order of the phases: time or memory (default: as they run)",
               kComputes},
              {"trace", "FILE",
               "every thread tile by tile, for ui.perfetto.dev or chrome://tracing", kTraced},
              {"dry_run", "", "cases with predicted FLOP, bytes, memory and time; run nothing",
               kComputes},
              {"quiet", "", "no progress on stderr", kSweeps},
              {"json", "FILE", "report; - for stdout", kEvery},
              {"resume", "FILE", "complete this report: measure only what it lacks", kBench},
              {"resume_anyway", "", "also a report from another machine or build", kBench},
              {"csv", "FILE", "", kComputes},
              {"md", "FILE", "", kTables},
              {"junit", "FILE", "results for a CI server", kCheck},
              {"help", "", "this text", kEvery},
              {"version", "", "git description, compiler and flags", kEvery},
          }};
}

}  // namespace

const std::vector<FlagGroup>& flag_groups() {
  static const std::vector<FlagGroup> groups = {workload(), execution(),  tensors(), selection(),
                                                timing(),   comparison(), output()};
  return groups;
}

int value_count(const Flag& flag) {
  if (flag.value.empty()) return 0;
  return 1 + static_cast<int>(std::count(flag.value.begin(), flag.value.end(), ' '));
}

bool may_stand_in_config(std::string_view flag) {
  return flag != "config" && flag != "help" && flag != "version" && flag != "trace" &&
         flag != "resume" && flag != "resume_anyway";
}

}  // namespace flashbench::app
