#pragma once

#include <string>
#include <vector>

#include "app/case/routing.h"
#include "app/command_line/request.h"
#include "report/junit.h"
#include "report/record.h"

namespace flashbench::app {

/// What became of one case of check.
struct Checked {
  std::string row;   ///< the line of the table that it belongs to
  std::string name;  ///< unique
  report::Result result;
  double seconds = 0;
  std::string rounding;  ///< the dtype whose rounding is the unit
};

/// Whether all that passed judges the oracle itself, and every case of a kernel was skipped.
bool only_the_oracle(const std::vector<Checked>& checked);

bool any_skipped(const std::vector<Checked>& checked);

/// One line a row of the suite (or a case of a workload): how many cases, how far the worst of each
/// output is from the oracle in units of expected rounding, the verdict. Then every failure with
/// its verdict and the command that reproduces it, the reasons for what was skipped, and the count.
/// `fail_on_skipped`: a skipped case is a failure of the whole.
std::string check_text(const std::vector<Checked>& checked, double seconds, bool fail_on_skipped);

/// The same as Markdown that fits a comment, some kB at most: the count, the failures with every
/// wrong tensor and the command, the commonest reasons for what was skipped.
std::string check_markdown(const std::vector<Checked>& checked, double seconds,
                           bool fail_on_skipped);

/// What stands above that, where cases of a workload are forward ones because they cannot have
/// gradients, which nobody forbade; else "".
std::string pass_preface(const CheckRequest& request, const std::vector<RoutedGroup>& groups);

std::vector<report::JunitCase> junit_cases(const std::vector<Checked>& checked);

}  // namespace flashbench::app
