#pragma once

#include <string>
#include <vector>

#include "core/problem.h"
#include "data/input_files.h"

namespace flashbench::data {

/// What resolve() does, without a word about files that would fit in the other layout.
Problem resolve_as_laid_out(Problem p, const std::vector<std::string>& given, OpenFiles& open);

/// Warnings of the files of a problem: unused_tensors(), and heads that look like rows: more than
/// models have, and more of them than rows.
std::vector<std::string> input_warnings(const Problem& p, OpenFiles& open);

}  // namespace flashbench::data
