#include "measure/idle.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace flashbench::measure {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// "R" behind the name, which is in brackets and may hold anything (man 5 proc, stat).
bool runs(const fs::path& thread) {
  std::ifstream file(thread / "stat");
  std::string text;
  std::getline(file, text, '\0');  // nothing of a thread that ends meanwhile
  const std::size_t bracket = text.rfind(')');
  return bracket != std::string::npos && bracket + 2 < text.size() && text[bracket + 2] == 'R';
}

/// The process may end meanwhile.
template <typename F>
void for_each_thread(const std::string& threads_folder, F&& f) {
  std::error_code gone;
  for (fs::directory_iterator at(threads_folder, gone), end; !gone && at != end; at.increment(gone))
    f(at->path());
}

bool any_runs(const std::string& threads_folder) {
  const std::string own = std::to_string(::gettid());
  bool any = false;
  for_each_thread(threads_folder, [&](const fs::path& thread) {
    any = any || (thread.filename() != own && runs(thread));
  });
  return any;
}

}  // namespace

bool wait_until_idle(const std::string& threads_folder, double patience_s) {
  const auto end = Clock::now() + std::chrono::duration<double>(patience_s);
  while (any_runs(threads_folder)) {
    if (Clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  return true;
}

double ran_s(const std::string& threads_folder) {
  double all_ns = 0;
  for_each_thread(threads_folder, [&](const fs::path& thread) {
    std::ifstream file(thread / "schedstat");
    double ran_ns = 0;
    if (file >> ran_ns) all_ns += ran_ns;
  });
  return 1e-9 * all_ns;
}

}  // namespace flashbench::measure
