#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sequences.h"

namespace flashbench::sweep {

/// The lengths that a word such as "2q2k_32q1s1k" stands for (vLLM's batch specs): parts joined by
/// "_", each [COUNT]qQUERIES[sKEYS], lengths with or without k (1024); without s as many keys as
/// queries. nullopt where it is no such word. Throws UsageError, which begins with `where`, for a
/// count or a length of 0 and where there are too many.
std::optional<std::vector<SequenceLengths>> parse_ragged(std::string_view word,
                                                         std::string_view where);

/// The shortest such word.
std::string ragged_text(const Sequences& sequences);

}  // namespace flashbench::sweep
