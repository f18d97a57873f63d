#include "app/process/interrupt.h"

#include <signal.h>

#include <csignal>

#include "system/error.h"

namespace flashbench::app {
namespace {

volatile std::sig_atomic_t received = 0;

void note(int signal) { received = signal; }

}  // namespace

void watch_signals() {
  ::signal(SIGXFSZ, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM}) {
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
  return received == SIGTERM ? ExitCode::kTerminated : ExitCode::kInterrupted;
}

}  // namespace flashbench::app
