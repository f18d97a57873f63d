#pragma once

#include <optional>

namespace flashbench::machine {

/// A processor that OpenMP would bind a thread of a team of `threads` to and that this process
/// cannot run on (GOMP_CPU_AFFINITY names what it likes; starting the thread would end the
/// program). nullopt where there is none.
std::optional<int> unusable_processor(int threads);

}  // namespace flashbench::machine
