#pragma once

#include <vector>

#include "app/case/routing.h"
#include "report/record.h"

namespace flashbench::app {

/// Adds to the summary from which length on `normal` would not fit into the memory that this
/// process had when it started: of every series of lengths that ran with both types and fits as far
/// as it was swept. Nothing is allocated; a kernel knows what it would take. `cases`: those of
/// report.results.
void add_predicted_limits(report::Report& report, const std::vector<RoutedCase>& cases);

}  // namespace flashbench::app
