#include "app/process/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "app/process/interrupt.h"
#include "system/cpu_set.h"
#include "system/error.h"
#include "system/machine.h"

namespace flashbench::app {
namespace {

constexpr int kPatience_ms = 5000;

[[noreturn]] void fail(const char* what) {
  throw DeviceError(fmt::format("{}: {}", what, std::strerror(errno)));
}

class Descriptor {
 public:
  Descriptor(int fd, const char* what) : fd_(fd) {
    if (fd < 0) fail(what);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string contents(int fd) {
  std::string text;
  char block[1 << 16];
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd, block, sizeof block, at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(block, static_cast<std::size_t>(got));
    at += got;
  }
}

/// Between fork and exec: nothing that takes a lock.
[[noreturn]] void become(char* const* argv, int in, int out, int err, pid_t parent,
                         const machine::CpuSet& cpus) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGXFSZ, SIG_DFL);  // ignored signals stay so across exec
  cpus.apply();
  if (::getppid() != parent) ::_exit(kCannotExecute);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::execvp(argv[0], argv);
  const char* why = std::strerror(errno);
  if (::write(STDERR_FILENO, why, std::strlen(why)) < 0) ::_exit(kCannotExecute + 1);
  ::_exit(kCannotExecute);
}

/// True once the process has ended; false after `patience_ms` (-1: never) or an interruption.
bool ended(int pidfd, int patience_ms) {
  pollfd p{pidfd, POLLIN, 0};
  return ::poll(&p, 1, patience_ms) > 0;
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

ChildResult run_child(const std::vector<std::string>& argv) {
  const Descriptor in(::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null");
  const Descriptor out(::memfd_create("stdout", MFD_CLOEXEC), "memory for a program's output");
  const Descriptor err(::memfd_create("stderr", MFD_CLOEXEC), "memory for a program's output");
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t parent = ::getpid();
  // OpenMP may have bound this thread to one processor, which the program would inherit.
  const machine::CpuSet cpus(machine::affinity());
  const pid_t pid = ::fork();
  if (pid < 0)
    throw UnavailableError(
        fmt::format("cannot start a process: {}; raise the limits on them (ulimit -u, the control "
                    "group's pids)",
                    std::strerror(errno)));
  if (pid == 0) become(words.data(), in.get(), out.get(), err.get(), parent, cpus);
  // glibc 2.36 declares pidfd_open() for C only.
  const Descriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0u)),
                         "cannot watch a process");
  // A signal that comes after interrupted() was asked and before poll() waits is noticed within
  // 200 ms.
  while (!interrupted() && !ended(pidfd.get(), 200)) {
  }
  if (interrupted()) {
    ::kill(pid, SIGTERM);
    if (!ended(pidfd.get(), kPatience_ms)) ::kill(pid, SIGKILL);
    reap(pid);
    throw Interrupted{};
  }
  const int code = reap(pid);
  return {code, contents(out.get()), contents(err.get())};
}

std::string command_line(const std::vector<std::string>& argv) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+@%";
  std::string text;
  for (const std::string& word : argv) {
    if (!text.empty()) text += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      text += word;
      continue;
    }
    text += '\'';
    for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    text += '\'';
  }
  return text;
}

}  // namespace flashbench::app
