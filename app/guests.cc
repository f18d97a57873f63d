#include "app/guests.h"

#include <filesystem>
#include <system_error>

#include "app/command_line/options.h"
#include "app/process/interrupt.h"
#include "app/terminal/streams.h"

namespace flashbench::app {
namespace {

/// The file of this program, wherever it was found.
std::string own_file(const CommandLine& line) {
  std::error_code hidden;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", hidden);
  return hidden ? line.argv.front() : self.string();
}

}  // namespace

void configure_guests(const CommandLine& line, const std::vector<guest::GuestBackend*>& guests) {
  const Options options(line);
  const sweep::Setting* isolate = options.find("isolate");
  const bool alone = isolate == nullptr || sweep::parse_bool(isolate->values[0], isolate->where);
  guest::GuestSettings settings;
  settings.program = alone ? own_file(line) : "";
  settings.patience_s = options.duration("patience", settings.patience_s);
  settings.stop_requested = interrupted;
  settings.warn = [](const std::string& text) { print_err("flashbench: " + text + "\n"); };
  for (guest::GuestBackend* backend : guests) backend->configure(settings);
}

}  // namespace flashbench::app
