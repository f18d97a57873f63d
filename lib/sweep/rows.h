#pragma once

#include <span>

#include "sweep/field.h"

/// The parts of the field table, in the order in which they make it.
namespace flashbench::sweep {

std::span<const Field> problem_rows();
std::span<const Field> score_rows();
std::span<const Field> tensor_rows();
std::span<const Field> execution_rows();

/// The case reads q, k and v from files.
inline bool from_files(const Case& c) { return c.problem.files.any(); }

}  // namespace flashbench::sweep
