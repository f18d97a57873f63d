#pragma once

#include <string>
#include <vector>

namespace flashbench::app {

/// What a program left behind.
struct ChildResult {
  int exit_code = 0;  ///< 128 + the number of the signal that ended it
  std::string out, err;
};

/// Runs `argv` (argv[0]: a path, or a name to look for in PATH) without input and waits for it,
/// without taking processor time meanwhile. Should this process be interrupted, the program is told
/// to end (SIGTERM, and SIGKILL five seconds later) and Interrupted is thrown; should this process
/// die, it dies too. Throws UnavailableError where no process can be started.
ChildResult run_child(const std::vector<std::string>& argv);

/// `argv` as a shell takes it.
std::string command_line(const std::vector<std::string>& argv);

}  // namespace flashbench::app
