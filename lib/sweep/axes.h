#pragma once

#include <span>
#include <vector>

#include "sweep/case.h"
#include "sweep/expand.h"
#include "sweep/field.h"
#include "sweep/settings.h"

namespace flashbench::sweep {

/// The axes of the fields that vary between groups or within one, outermost first. None is empty.
std::vector<Axis> axes(const Settings& settings, const Defaults& defaults, Varies varies,
                       std::span<const Field> table);

/// A case with all that is no axis: files, their names and their layout. Its h_kv and kv_len are 0,
/// "follow h and q_len", until an axis sets them.
Case base_case(const Settings& settings, const Defaults& defaults, std::span<const Field> table);

}  // namespace flashbench::sweep
