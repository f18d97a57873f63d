#include "system/interrupt.h"

#include <signal.h>

#include <atomic>
#include <csignal>

namespace flashbench {
namespace {

// The handler runs in one of the threads that ask.
std::atomic<int> received = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void note(int signal) { received.store(signal, std::memory_order_relaxed); }

}  // namespace

void watch_signals() {
  ::signal(SIGXFSZ, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    if (::sigaction(signal, nullptr, &before) != 0 || before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = note;
    // SA_RESETHAND: the second signal takes the default action.
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    ::sigemptyset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
  }
}

bool interrupted() { return received.load(std::memory_order_relaxed) != 0; }

ExitCode interrupted_code() {
  const int signal = received.load(std::memory_order_relaxed);
  return signal == SIGTERM  ? ExitCode::kTerminated
         : signal == SIGHUP ? ExitCode::kHungUp
                            : ExitCode::kInterrupted;
}

void stop_if_interrupted() {
  if (interrupted()) throw Interrupted{};
}

}  // namespace flashbench
