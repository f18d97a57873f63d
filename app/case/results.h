#pragma once

#include <exception>
#include <string_view>
#include <vector>

#include "app/case/routing.h"
#include "app/command_line/request.h"
#include "core/verdict.h"
#include "core/work.h"
#include "kernel/profile.h"
#include "report/record.h"
#include "system/error.h"

namespace flashbench::app {

class PreparedCase;

/// What is known of a case before it runs: the request, its kernel, and the reason if it is
/// skipped. `command` and a level that was asked for go into the line that reproduces it.
report::Result result_of(std::string_view command, const RoutedCase& c,
                         VerifyMode verify = VerifyMode::kAuto);

/// A warning for each that `kernel` rounds besides: its limits are not those of the others.
void warn_of_limits(report::Result& result, const std::string& kernel, ExtraRoundings rounds);

/// FLOP and bytes as counted with the mask that was used.
void add_work(report::Result& result, const Work& work);

/// The verdict; a wrong result fails with the worst tensor's line and how to reproduce it.
void add_verdict(report::Result& result, const Verdict& verdict, const std::string& check);

/// What threw instead of computing: no memory means skipped, the rest means failed.
void add_failure(report::Result& result, const std::exception& error);

/// Profiles a run: its phases and what clocking them took. Interrupted meanwhile, the result stays
/// as it is, and a warning says why it has no phases.
void add_phases(report::Result& result, PreparedCase& prepared, PhaseOrder order);

/// Fills `parameters` of every result with the flags whose values differ among them.
void add_parameters(std::vector<report::Result>& results, const std::vector<sweep::Case>& cases);

/// The machine, with the device of that index where a backend has one.
report::Context machine_context(const Backends& backends, int device = 0);

/// A report with everything but its results. Its device is the first one that the request names.
report::Report new_report(const RunRequest& run, const Backends& backends);

/// On stderr, those of one kind as one line.
void print_warnings(const report::Report& report);

/// 1 when a case failed, else 0 when one is ok, else 3: all were skipped.
ExitCode exit_code(const std::vector<report::Result>& results);

}  // namespace flashbench::app
