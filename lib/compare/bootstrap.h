#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace flashbench::compare {

/// The same numbers everywhere: std::mt19937_64 is specified to the bit, the standard's
/// distributions are not and are not used.
using Random = std::mt19937_64;

/// How many neighbouring rounds a block holds, so that blocks hardly depend on each other: at least
/// `least`, twice the autocorrelation time of the series where that is longer, and never so long
/// that fewer than five blocks remain.
std::size_t block_length(std::span<const double> series, std::size_t least);

/// Medians of resamples of `series`, each as long as it is and made of blocks of neighbours drawn
/// with replacement (circular block bootstrap; Politis and Romano 1992). In the order drawn.
std::vector<double> bootstrap_medians(std::span<const double> series, std::size_t block,
                                      std::size_t replicates, Random& random);

}  // namespace flashbench::compare
