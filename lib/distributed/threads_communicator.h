#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "distributed/communicator.h"

namespace flashbench::distributed {

/// Between ranks that are threads: as fast as memory, or as a link that is emulated. A message is
/// there no earlier than latency + bytes/bandwidth after it was posted, and after those that its
/// rank posted before it left the link.
struct Link {
  double latency_s = 0;
  double bytes_per_s = std::numeric_limits<double>::infinity();
  /// Up to so much more for each message, another time for each, so that they overtake each other.
  double most_delay_s = 0;
  std::uint64_t seed = 0;
};

/// Runs `work` on as many threads as there are ranks, and returns what each rank sent. What is
/// received is NaN from the exchange on, what was sent is from wait() on where nobody keeps it.
/// Where a rank throws, the work of all ends, and what the first one threw is thrown here.
std::vector<Sent> run_on_threads(int ranks, const Link& link,
                                 const std::function<void(Communicator&)>& work);

}  // namespace flashbench::distributed
