// The other end: a worker that serves a plug-in. The input is what the program asks, a line a
// message, and behind an empty line the bytes of which the plug-in makes its replies (replies.cc).
// Whatever both are, each request has an answer that the program can read.
#include <dlfcn.h>
#include <sys/socket.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "guest/greeting.h"
#include "guest/plugin.h"
#include "guest/protocol.h"
#include "guest/serve.h"
#include "system/error.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace flashbench;

constexpr std::size_t kMostRequests = 8, kMostBytes = 4096;
constexpr std::size_t kSharedBytes = 8192;

void reply_with(std::string_view bytes) {
  using Replies = void (*)(const char*, std::size_t);
  static const auto replies = [] {
    void* library = ::dlopen(FUZZ_REPLIES, RTLD_NOW | RTLD_LOCAL);
    void* symbol = library == nullptr ? nullptr : ::dlsym(library, "replies_are");
    if (symbol == nullptr) std::abort();
    return reinterpret_cast<Replies>(symbol);
  }();
  replies(bytes.data(), bytes.size());
}

std::vector<nlohmann::json> requests_of(std::string_view text) {
  std::vector<nlohmann::json> requests;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line) && requests.size() < kMostRequests;) {
    auto request = nlohmann::json::parse(line.substr(0, kMostBytes), nullptr, false);
    if (!request.is_discarded()) requests.push_back(std::move(request));
  }
  return requests;
}

guest::Channel channel_of(int socket) { return guest::Channel(process::Descriptor(socket, "")); }

void serve(guest::Guest& plugin, const std::vector<nlohmann::json>& requests) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  guest::Channel program = channel_of(ends[0]), worker = channel_of(ends[1]);
  const guest::SharedMemory in(kSharedBytes), out(kSharedBytes);
  for (const nlohmann::json& r : requests)
    program.send(r, r.contains("inputs") ? std::vector{in.descriptor(), out.descriptor()}
                                         : std::vector<int>{});
  ::shutdown(ends[0], SHUT_WR);
  guest::serve(plugin, worker);
  const auto received = [&] { return guest::message_of(program.receive().value().text); };
  guest::kernels_of_greeting(received(), "the plug-in");
  for (std::size_t i = 0; i < requests.size(); ++i) guest::answer_of(received());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const std::size_t end = std::min(text.find("\n\n"), size);
  reply_with(text.substr(std::min(end + 2, size)));
  std::optional<guest::Plugin> plugin;
  fuzz::expect_refusals<UsageError>(
      [&] { plugin.emplace(FUZZ_REPLIES, PluginAbi::kFlashbenchKernel); });
  if (plugin) serve(*plugin, requests_of(text.substr(0, end)));
  return 0;
}
