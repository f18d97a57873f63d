#include "app/commands.h"
#include "core/enumerators.h"
#include "system/error.h"

namespace flashbench::app {

ExitCode run_command(const CommandLine& line, const Runtime& runtime) {
  switch (line.command) {
    case Command::kForward:
    case Command::kBackward:
      return run_single(single_request(line, runtime.backends), runtime);
    case Command::kBench:
      return run_bench(bench_request(line, runtime.backends), runtime);
    case Command::kCheck:
      return run_check(check_request(line, runtime.backends), runtime);
    case Command::kCompare:
      return run_compare(compare_request(line), runtime);
    case Command::kInfo:
      return run_info(info_request(line, runtime.backends), runtime);
  }
  no_such_enumerator();
}

}  // namespace flashbench::app
