#pragma once

#include <functional>
#include <vector>

#include "sweep/case.h"
#include "sweep/expand.h"
#include "sweep/settings.h"

namespace flashbench::sweep {

/// The values that one name takes, each as what it does to a case. Never empty.
using Axis = std::vector<std::function<void(Case&)>>;

/// What decides the numbers, outermost first.
std::vector<Axis> problem_axes(const Settings& settings, const Defaults& defaults);

/// What decides who computes them, outermost first.
std::vector<Axis> execution_axes(const Settings& settings, const Defaults& defaults);

/// A case with all that is no axis: files, their names and their layout. Its h_kv and kv_len are 0,
/// "follow h and q_len", until an axis sets them.
Case base_case(const Settings& settings, const Defaults& defaults);

}  // namespace flashbench::sweep
