#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "app/command_line/cli.h"
#include "app/commands.h"
#include "app/guests.h"
#include "app/terminal/streams.h"
#include "guest/guest_backend.h"
#include "guest/protocol.h"
#include "guest/serve.h"
#include "registry/registry.h"
#include "system/error.h"
#include "system/interrupt.h"

namespace {

using flashbench::ExitCode;

/// One line on stderr, whatever the message holds.
ExitCode complain(std::string message, ExitCode code) {
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  flashbench::app::print_err(fmt::format("flashbench: {}\n", message));
  return code;
}

ExitCode run(const std::vector<std::string>& argv) {
  flashbench::measure::SteadyClock clock;
  if (argv.size() == 5 && argv[1] == flashbench::guest::kServePlugin)
    return static_cast<ExitCode>(flashbench::guest::serve_plugin(argv[2], argv[3], argv[4]));
  const flashbench::app::Runtime runtime{flashbench::registry::backends(), clock};
  const flashbench::app::Invocation call =
      flashbench::app::parse_command_line(argv, flashbench::app::commands(), runtime.backends);
  if (call.run) {
    flashbench::app::print_err(call.note);
    flashbench::app::configure_guests(*call.run, flashbench::registry::guest_backends());
    return call.run->command->run(*call.run, runtime);
  }
  flashbench::app::print_out(call.text);
  return ExitCode::kOk;
}

}  // namespace

int main(int argc, char** argv) {
  ExitCode code = ExitCode::kFailed;
  try {
    flashbench::watch_signals();
    code = run(std::vector<std::string>(argv, argv + argc));
  } catch (const flashbench::UsageError& e) {
    code = complain(e.what(), ExitCode::kUsage);
  } catch (const flashbench::UnavailableError& e) {
    code = complain(e.what(), ExitCode::kUnavailable);
  } catch (const std::bad_alloc&) {
    code = complain("not enough memory; use smaller sizes", ExitCode::kUnavailable);
  } catch (const flashbench::Interrupted&) {
    code = flashbench::interrupted_code();
  } catch (const std::exception& e) {
    code = complain(e.what(), ExitCode::kFailed);
  }
  // What an interrupted worker said on its way is no failure of this program.
  if (code != ExitCode::kOk && flashbench::interrupted()) code = flashbench::interrupted_code();
  return static_cast<int>(code);
}
