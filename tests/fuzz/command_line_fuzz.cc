// The whole command line, a word a line: parsed, and what it asks for expanded, but not run. What
// it names lies in an empty folder, since slashes are taken out.
#include <sstream>
#include <vector>

#include "app/command_line/cli.h"
#include "app/command_line/request.h"
#include "app/commands.h"
#include "registry/registry.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace flashbench;

void pose(const app::CommandLine& line, const Backends& backends) {
  const std::string name(line.command->name);
  if (name == "forward") app::single_request(line, Pass::kForward, backends);
  if (name == "backward") app::single_request(line, Pass::kBoth, backends);
  if (name == "bench") app::bench_request(line, backends);
  if (name == "check") app::check_request(line, backends);
  if (name == "compare") app::compare_request(line);
  if (name == "info") app::info_request(line, backends);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> argv = {"flashbench"};
  std::istringstream words{std::string(fuzz::text_of(data, std::min<std::size_t>(size, 4096)))};
  for (std::string word; std::getline(words, word) && argv.size() < 64;) {
    std::erase_if(word, [](char c) { return c == '/' || c == '\0'; });
    argv.push_back(word);
  }
  fuzz::expect_refusals<UsageError, UnavailableError>([&] {
    const Backends& backends = registry::backends();
    const app::Invocation call = app::parse_command_line(argv, app::commands(), backends);
    if (call.run) pose(*call.run, backends);
  });
  return 0;
}
