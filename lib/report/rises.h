#pragma once

#include <span>

#include "report/record.h"

namespace flashbench::report {

/// Fills `rises` of every result that belongs to a sweep over a length: results that differ in
/// q_len and kv_len only. It is false for all of a sweep in which a case of at least 1.5 times the
/// FLOP and bytes takes no longer than another one (a scheduler's slice, say), and a warning names
/// the two. Times below 0.2 ms may be fixed costs and are not judged.
void derive_rises(std::span<Result> results);

}  // namespace flashbench::report
