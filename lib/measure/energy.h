#pragma once

#include <functional>
#include <optional>

#include "measure/clock.h"

namespace flashbench::measure {

/// Joules since some fixed moment; nullopt where nothing can be read.
using ReadEnergy = std::function<std::optional<double>()>;

/// Joules per call of `launch`, which returns when its work is done and is called for at least
/// `least_s` seconds of `clock`, from one step of the counter to another: a GPU's moves ten times a
/// second only. nullopt where nothing can be read.
std::optional<double> energy_per_call_j(const ReadEnergy& read_j,
                                        const std::function<void()>& launch, double least_s,
                                        Clock& clock, const std::function<bool()>& stop_requested);

}  // namespace flashbench::measure
