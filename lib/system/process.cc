#include "system/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "system/cpu_set.h"
#include "system/error.h"
#include "system/machine.h"

namespace flashbench::process {
namespace {

/// What exec() takes: pointers into strings that live as long as this.
class Words {
 public:
  explicit Words(std::vector<std::string> words) : words_(std::move(words)) {
    for (std::string& word : words_) pointers_.push_back(word.data());
    pointers_.push_back(nullptr);
  }
  char* const* get() const { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
};

/// This process's environment with some variables in place of its own.
std::vector<std::string> environment_with(const std::vector<std::string>& own) {
  std::vector<std::string> all = own;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& o : own) replaced = replaced || o.starts_with(name);
    if (!replaced) all.emplace_back(text);
  }
  return all;
}

/// Between fork and exec: nothing that takes a lock.
[[noreturn]] void become(const Start& start, char* const* argv, char* const* environment,
                         pid_t parent, const machine::CpuSet& cpus) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGXFSZ, SIG_DFL);  // ignored signals stay so across exec
  if (start.own_group) ::setpgid(0, 0);
  cpus.apply();
  if (::getppid() != parent) ::_exit(kCannotExecute);
  if (start.kept >= 0) ::fcntl(start.kept, F_SETFD, 0);
  ::dup2(start.in, STDIN_FILENO);
  ::dup2(start.out, STDOUT_FILENO);
  ::dup2(start.err, STDERR_FILENO);
  ::execvpe(argv[0], argv, environment);
  const char* why = std::strerror(errno);
  if (::write(STDERR_FILENO, why, std::strlen(why)) < 0) ::_exit(kCannotExecute + 1);
  ::_exit(kCannotExecute);
}

}  // namespace

Descriptor::Descriptor(int fd, const char* what) : fd_(fd) {
  if (fd < 0) throw DeviceError(fmt::format("{}: {}", what, std::strerror(errno)));
}

void Descriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Process::Process(const Start& start) : own_group_(start.own_group) {
  const Words argv(start.argv), environment(environment_with(start.environment));
  const pid_t parent = ::getpid();
  // OpenMP may have bound this thread to one processor, which the program would inherit.
  const machine::CpuSet cpus(machine::affinity());
  pid_ = ::fork();
  if (pid_ < 0)
    throw UnavailableError(
        fmt::format("cannot start a process: {}; raise the limits on them (ulimit -u, the control "
                    "group's pids)",
                    std::strerror(errno)));
  if (own_group_ && pid_ > 0) ::setpgid(pid_, pid_);  // whoever comes first
  if (pid_ == 0) become(start, argv.get(), environment.get(), parent, cpus);
  // glibc 2.36 declares pidfd_open() for C only.
  try {
    pidfd_ =
        Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0u)), "cannot watch a process");
  } catch (...) {
    ::kill(pid_, SIGKILL);
    reap();
    throw;
  }
}

Process::~Process() {
  if (pid_ < 0) return;
  if (own_group_) ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  reap();
}

bool Process::ended(int patience_ms) const {
  pollfd p{pidfd_.get(), POLLIN, 0};
  return ::poll(&p, 1, patience_ms) > 0;
}

void Process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

int Process::reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  if (own_group_) ::kill(-pid_, SIGKILL);  // what it left behind
  pid_ = -1;
  return status;
}

int exit_code(int status) {
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace flashbench::process
