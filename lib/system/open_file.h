#pragma once

#include <string>

namespace flashbench {

/// As ::open() does it, and a FIFO waits for its other end; but a signal that watch_signals()
/// watches ends that, with Interrupted. Returns -1 with errno set where the system refuses.
int open_file(const std::string& path, int flags);

}  // namespace flashbench
