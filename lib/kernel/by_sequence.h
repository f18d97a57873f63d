#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "core/problem.h"
#include "core/tensor.h"
#include "kernel/kernel.h"

// A ragged batch as so many problems of one sequence each, for algorithms that know no other.
namespace flashbench {

using PlanSequence =
    std::function<std::unique_ptr<Plan>(const Problem& one, const Inputs& in_of_one)>;

/// Whether sequences of equal lengths may be launched with one plan: not where it keeps tensors of
/// its own, as on a device. (Nor where it keeps something else of one sequence: that is seen to.)
enum class SharedPlans { kNo, kYes };

/// Plans each sequence apart; launches one after the other. A sequence without queries or without
/// keys is not computed: its results are written here.
std::unique_ptr<Plan> plan_by_sequence(const Problem& p, const Inputs& in, SharedPlans shared,
                                       const PlanSequence& plan);

/// Sum over the plans that plan_by_sequence() makes, and over the sequences that it launches.
std::size_t sum_over_plans(const Problem& p, SharedPlans shared,
                           const std::function<std::size_t(const Problem&)>& of);
double sum_over_sequences(const Problem& p, const std::function<double(const Problem&)>& of);

}  // namespace flashbench
