#pragma once

#include <span>

#include "sweep/field.h"

/// The parts of the field table, in the order in which they make it.
namespace flashbench::sweep {

std::span<const Field> problem_rows();
std::span<const Field> execution_rows();

}  // namespace flashbench::sweep
