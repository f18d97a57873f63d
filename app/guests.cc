#include "app/guests.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "app/command_line/options.h"
#include "app/terminal/streams.h"
#include "system/interrupt.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

/// The file of this program, wherever it was found.
std::string own_file(const CommandLine& line) {
  std::error_code hidden;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", hidden);
  return hidden ? line.argv.front() : self.string();
}

/// Beside the program as it was built, or as it was installed.
std::string emulated_driver(const std::string& program) {
  const std::filesystem::path folder = std::filesystem::path(program).parent_path();
  for (const char* where : {"lib/emulated_driver", "../lib/flashbench/emulated_driver"}) {
    std::error_code hidden;
    const std::filesystem::path file = folder / where / "libcuda.so.1";
    if (std::filesystem::exists(file, hidden)) return file.string();
  }
  return "";
}

}  // namespace

void configure_guests(const CommandLine& line, const std::vector<guest::GuestBackend*>& guests) {
  const Options options(line);
  const sweep::Setting* isolate = options.find("isolate");
  if (isolate != nullptr && isolate->values[0].empty())
    throw UsageError(fmt::format("{} must be true or false, got ''", isolate->where));
  const bool alone = isolate == nullptr || sweep::parse_bool(isolate->values[0], isolate->where);
  guest::GuestSettings settings;
  settings.program = alone ? own_file(line) : "";
  settings.emulated_driver = emulated_driver(own_file(line));
  settings.patience_s = options.duration("patience", settings.patience_s);
  for (const char* name : {"isolate", "patience"})
    if (const sweep::Setting* given = options.find(name))
      settings.flags += fmt::format(" --{} {}", name, shell_word(given->values[0]));
  settings.stop_requested = interrupted;
  settings.warn = [](const std::string& text) { print_err("flashbench: " + text + "\n"); };
  for (guest::GuestBackend* backend : guests) backend->configure(settings);
}

}  // namespace flashbench::app
