#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace flashbench::process {

/// A file descriptor, closed with its owner. Throws DeviceError, which names `what`, where the
/// system refused it.
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(int fd, const char* what);
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }

  int get() const { return fd_; }
  void reset();

 private:
  int fd_ = -1;
};

/// The exit code of a program that cannot be executed, as shells have it; what it wrote to `err`
/// says why.
inline constexpr int kCannotExecute = 127;

/// What a process starts with.
struct Start {
  std::vector<std::string> argv;  ///< argv[0]: a path, or a name to look for in PATH
  int in = -1, out = -1, err = -1;
  int kept = -1;  ///< one more descriptor that it has under this number
  std::vector<std::string> environment =
      {};  ///< "NAME=value": added to this process's, or in its place
  /// A group of its own, with whatever it starts: it ends as one, and what a terminal sends with
  /// Ctrl-C is not for it.
  bool own_group = false;
};

/// A process that this one started. Should this one die, it dies too; it is killed and reaped with
/// this object.
class Process {
 public:
  /// It may run on the processors of this process, whatever this thread is bound to. Throws
  /// UnavailableError where none can be started.
  explicit Process(const Start& start);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  pid_t id() const { return pid_; }
  /// True once it has ended; false after `patience_ms` (-1: never) or a signal.
  bool ended(int patience_ms) const;
  /// Readable once it has ended, for poll().
  int watched() const { return pidfd_.get(); }
  void signal(int number) const;
  /// Waits for its end and returns what waitpid() says.
  int reap();

 private:
  pid_t pid_ = -1;
  bool own_group_ = false;
  Descriptor pidfd_;
};

/// 0 to 255, or 128 + the number of the signal that ended it.
int exit_code(int status);

}  // namespace flashbench::process
