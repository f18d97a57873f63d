#include "system/relay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string_view>
#include <system_error>

#include "system/error.h"

namespace flashbench::process {
namespace {

constexpr std::size_t kLongestLine = 300;
/// What is on its way may take so long after nobody is waited for any more, and be so many reads:
/// somebody that was left behind may go on writing.
constexpr int kLate_ms = 50, kLateReads = 64;

void write_all(const char* text, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t n = ::write(STDERR_FILENO, text, bytes);
    if (n < 0 && errno == EAGAIN) {  // somebody has made it non-blocking
      pollfd room{STDERR_FILENO, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (n < 0 && errno != EINTR) {
      return;  // there is nobody to tell
    }
    if (n <= 0) continue;
    text += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

void make_pipe(Descriptor& out, Descriptor& in) {
  int ends[2] = {-1, -1};
  const int failed = ::pipe2(ends, O_CLOEXEC);
  out = Descriptor(failed == 0 ? ends[0] : -1, "a pipe for a worker's messages");
  in = Descriptor(ends[1], "a pipe for a worker's messages");
}

/// Blocks all signals of this thread, and so of those that it starts meanwhile: signals are for the
/// threads that look at what they asked for.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;
  ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

Relay::Relay() {
  make_pipe(out_, in_);
  make_pipe(stop_out_, stop_in_);
  const NoSignals for_the_thread;
  try {
    thread_ = std::thread([this] { pass_on(); });
  } catch (const std::system_error& e) {
    throw UnavailableError(
        fmt::format("cannot start a thread: {}; raise the limits on them (ulimit -u, the control "
                    "group's pids)",
                    e.code().message()));
  }
}

Relay::~Relay() { last_line(); }

void Relay::pass_on() {
  std::array<char, 4096> text;
  bool stopped = false;
  for (int late = 0; late < kLateReads; late += stopped ? 1 : 0) {
    pollfd watched[] = {{out_.get(), POLLIN, 0}, {stop_out_.get(), POLLIN, 0}};
    const int ready = ::poll(watched, stopped ? 1 : 2, stopped ? kLate_ms : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    if ((watched[0].revents & (POLLIN | POLLHUP)) == 0) {
      stopped = true;
      continue;
    }
    const std::lock_guard lock(reading_);
    const ssize_t n = ::read(out_.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // all that could write have ended
    write_all(text.data(), static_cast<std::size_t>(n));
    keep(text.data(), static_cast<std::size_t>(n));
  }
}

void Relay::keep(const char* text, std::size_t bytes) {
  for (const char c : std::string_view(text, bytes)) {
    if (c == '\n') {
      if (line_.find_first_not_of(" \t\r") != std::string::npos) last_ = line_;
      line_.clear();
    } else if (line_.size() < kLongestLine) {
      line_ += c;
    }
  }
}

void Relay::end_line() {
  for (int waited_ms = 0; waited_ms < kLate_ms; ++waited_ms) {
    {
      const std::lock_guard lock(reading_);
      pollfd unread{out_.get(), POLLIN, 0};
      if (::poll(&unread, 1, 0) <= 0 || (unread.revents & POLLIN) == 0) {
        if (line_.empty()) return;
        write_all("\n", 1);
        keep("\n", 1);
        return;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::string Relay::last_line() {
  if (thread_.joinable()) {
    in_.reset();
    stop_in_.reset();  // which poll() sees
    thread_.join();
  }
  return line_.find_first_not_of(" \t\r") != std::string::npos ? line_ : last_;
}

}  // namespace flashbench::process
