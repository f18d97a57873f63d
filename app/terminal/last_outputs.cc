#include "app/terminal/last_outputs.h"

#include <fmt/format.h>

#include <exception>

#include "app/terminal/streams.h"
#include "system/interrupt.h"

namespace flashbench::app {

LastOutputs::~LastOutputs() {
  for (const std::string& line : lost_) print_err(fmt::format("flashbench: {}\n", line));
}

void LastOutputs::attempt(const std::function<void()>& write) {
  try {
    write();
  } catch (const Interrupted&) {
    interrupted_ = true;
  } catch (const std::exception& e) {
    lost_.emplace_back(e.what());
  }
}

void LastOutputs::add_lost(const std::vector<std::string>& lines) {
  lost_.insert(lost_.end(), lines.begin(), lines.end());
}

ExitCode LastOutputs::code(ExitCode code) const {
  if (interrupted_) return interrupted_code();
  return code == ExitCode::kOk && !lost_.empty() ? ExitCode::kFailed : code;
}

std::string going_on(const std::string& why) {
  if (why.empty()) return "";
  return fmt::format("flashbench: {}; going on, and trying again with every case\n", why);
}

}  // namespace flashbench::app
