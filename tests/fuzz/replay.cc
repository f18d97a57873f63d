// libFuzzer's place where there is none: runs a target on every file of a folder, then on what
// changes of them make for so many seconds. It knows nothing of coverage.
//   TARGET_fuzz CORPUS SECONDS
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"

// Of the sanitizers, which end the program without a signal; null without them.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using Bytes = std::vector<std::uint8_t>;

std::vector<Bytes> read_folder(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths(std::filesystem::directory_iterator(folder), {});
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> files;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    files.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return files;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<Bytes>& corpus) : corpus_(corpus) {}

  Bytes next() {
    Bytes bytes = corpus_[below(corpus_.size())];
    for (std::size_t n = below(4) + 1; n > 0; --n) change(bytes);
    return bytes;
  }

 private:
  std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }
  auto place(Bytes& bytes) { return bytes.begin() + static_cast<long>(below(bytes.size() + 1)); }

  void change(Bytes& bytes) {
    static constexpr std::uint8_t kTelling[] = {0,   1,   '-', '0', '9',  '"',  '{',  '}',  '[',
                                                ']', ':', ',', '.', 0x7f, 0x80, 0xff, '\n', ' '};
    const auto from = place(bytes);
    const auto to = from + static_cast<long>(below(std::min<std::size_t>(
                               16, static_cast<std::size_t>(bytes.end() - from) + 1)));
    switch (below(5)) {
      case 0:
        if (from != bytes.end()) *from = static_cast<std::uint8_t>(random_());
        break;
      case 1:
        if (from != bytes.end()) *from = kTelling[below(std::size(kTelling))];
        break;
      case 2:
        bytes.erase(from, to);
        break;
      case 3: {
        const Bytes copy(from, to);
        const auto here = place(bytes);
        bytes.insert(here, copy.begin(), copy.end());
        break;
      }
      default: {  // the rest of another one
        const Bytes& other = corpus_[below(corpus_.size())];
        bytes.erase(from, bytes.end());
        bytes.insert(bytes.end(), other.begin() + static_cast<long>(below(other.size() + 1)),
                     other.end());
      }
    }
  }

  const std::vector<Bytes>& corpus_;
  std::mt19937_64 random_{1};
};

Bytes current;
std::string kept_name;

/// Keeps what the target was given when it failed, for a regression test, and says where. Called by
/// handlers of signals: no stream, no memory.
void keep_input() {
  const int file = ::open(kept_name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  bool whole = file >= 0;
  for (std::size_t at = 0; whole && at < current.size();) {
    const ssize_t wrote = ::write(file, current.data() + at, current.size() - at);
    whole = wrote > 0;
    if (whole) at += static_cast<std::size_t>(wrote);
  }
  const std::string_view says = whole ? "the input that crashed is in " : "no file can be made: ";
  for (const std::string_view part : {says, std::string_view(kept_name), std::string_view("\n")})
    (void)!::write(STDERR_FILENO, part.data(), part.size());
}

/// With SA_RESETHAND the signal that is raised again takes its usual action.
void on_crash(int number) {
  keep_input();
  ::raise(number);
}

/// Of the target, beside others that run at the same time.
void keep_inputs_of(std::string_view program) {
  kept_name = "crash-" + std::string(program.substr(program.rfind('/') + 1));
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) {
    struct sigaction action {};
    action.sa_handler = on_crash;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
    ::sigaction(number, &action, nullptr);
  }
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(keep_input);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  keep_inputs_of(argv[0]);
  const std::vector<Bytes> corpus = read_folder(argv[1]);
  if (corpus.empty()) return 2;
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(std::atof(argv[2]));
  long executions = 0;
  const auto execute = [&](const Bytes& bytes) {
    current = bytes;
    LLVMFuzzerTestOneInput(current.data(), current.size());
    ++executions;
  };
  try {
    for (const Bytes& bytes : corpus) execute(bytes);
    Mutator mutator(corpus);
    while (Clock::now() < end) execute(mutator.next());
  } catch (const std::exception& e) {
    keep_input();
    std::printf("execution %ld ended in '%s'\n", executions, e.what());
    return 1;
  }
  std::printf("%ld executions\n", executions);
  return 0;
}
