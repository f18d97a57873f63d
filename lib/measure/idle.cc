#include "measure/idle.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace flashbench::measure {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// "R" behind the name, which is in brackets and may hold anything (man 5 proc, stat).
bool runs(const fs::path& thread) {
  std::ifstream file(thread / "stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t bracket = text.rfind(')');
  return bracket != std::string::npos && bracket + 2 < text.size() && text[bracket + 2] == 'R';
}

bool any_runs(const std::string& threads_folder) {
  const std::string own = std::to_string(::gettid());
  std::error_code gone;
  for (const fs::directory_entry& entry : fs::directory_iterator(threads_folder, gone))
    if (entry.path().filename() != own && runs(entry.path())) return true;
  return false;
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

}  // namespace flashbench::measure
