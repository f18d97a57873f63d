#pragma once

#include <cstdint>

#include "report/record.h"

namespace flashbench::report {

/// A share of the peak beyond this, in per cent, is more than the error of two measured rates.
inline constexpr double kMostShare = 105;

/// Bytes of the last caches that the result's threads, or its GPU, have together; 0 where the
/// report does not say.
std::uint64_t last_cache_bytes(const Context& context, const Result& r);

/// Whether a share of the memory's speed beyond 100 % is what caches can give: part of the operands
/// was still there from the call before.
bool caches_explain(const Context& context, const Result& r);

/// Takes shares away that cannot be: beyond kMostShare of the arithmetic, or of the memory where no
/// cache explains it, where a warning says why; and those of results that are not conclusive() or
/// whose time is not known to half of it.
void withhold_shares(Report& report);

}  // namespace flashbench::report
