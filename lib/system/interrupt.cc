#include "system/interrupt.h"

#include <signal.h>

#include <csignal>

namespace flashbench {
namespace {

volatile std::sig_atomic_t received = 0;

void note(int signal) { received = signal; }

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

bool interrupted() { return received != 0; }

ExitCode interrupted_code() {
  return received == SIGTERM  ? ExitCode::kTerminated
         : received == SIGHUP ? ExitCode::kHungUp
                              : ExitCode::kInterrupted;
}

void stop_if_interrupted() {
  if (interrupted()) throw Interrupted{};
}

}  // namespace flashbench
