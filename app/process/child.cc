#include "app/process/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "system/interrupt.h"
#include "system/process.h"

namespace flashbench::app {
namespace {

using process::Descriptor;

constexpr int kPatience_ms = 5000;

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

}  // namespace

ChildResult run_child(const std::vector<std::string>& argv) {
  const Descriptor in(::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null");
  const Descriptor out(::memfd_create("stdout", MFD_CLOEXEC), "memory for a program's output");
  const Descriptor err(::memfd_create("stderr", MFD_CLOEXEC), "memory for a program's output");
  process::Process child({.argv = argv, .in = in.get(), .out = out.get(), .err = err.get()});
  // A signal that comes after interrupted() was asked and before poll() waits is noticed within
  // 200 ms.
  while (!interrupted() && !child.ended(200)) {
  }
  if (interrupted()) {
    child.signal(SIGTERM);
    child.ended(kPatience_ms);
    throw Interrupted{};
  }
  const int code = process::exit_code(child.reap());
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
