#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"

namespace flashbench::compare {

/// What a reader must know of two sides before a ratio of their times: lines such as "different
/// machine: processor 'A' against 'B'", or that both are the same build. Empty when only the commit
/// differs, which the heading shows.
std::vector<std::string> differences(const Side& base, const Side& fresh);

/// "flashbench 0.1.0 (0123abcd, modified), GNU 12.2.0".
std::string build_text(const Side& side);

}  // namespace flashbench::compare
