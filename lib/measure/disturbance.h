#pragma once

#include <cstddef>
#include <span>
#include <vector>

// Samples in which others had a processor that one of our threads was ready for. What they show is
// the scheduler: two threads that meet at barriers lose as much as the one that waits longest.
namespace flashbench::measure {

/// A thread may lose this share of a sample before that is marked: less is lost to the system's own
/// threads everywhere.
inline constexpr double kMostLost = 0.02;

/// With fewer unmarked samples, and with less than this share of all, statistics are of all samples
/// and nothing may be concluded from them.
inline constexpr std::size_t kLeastUndisturbed = 3;
inline constexpr double kLeastUndisturbedShare = 0.05;

constexpr bool is_disturbed(double lost_share) { return lost_share > kMostLost; }

/// The samples that statistics are of.
struct Undisturbed {
  std::vector<double> times_s;  ///< in order
  std::size_t marked = 0;       ///< how many others there were
  bool enough = true;           ///< false: times_s are all of them
};

/// `lost`: for each sample the share of it that a thread lost; empty where nobody tells.
Undisturbed undisturbed_of(std::span<const double> times_s, std::span<const double> lost);

}  // namespace flashbench::measure
