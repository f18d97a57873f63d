// What a worker says, as the program reads it: its greeting and its answers. What of it is kept is
// fit for a line of the terminal, and for a report.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "guest/greeting.h"
#include "guest/protocol.h"
#include "system/quote.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace flashbench;

void expect_a_line(const std::string& text) {
  if (escape(text) != text) std::abort();
}

void greet(const nlohmann::json& message) {
  std::vector<guest::KernelFacts> kernels;
  fuzz::expect_refusals<UsageError, guest::AbsentError>(
      [&] { kernels = guest::kernels_of_greeting(message, "the worker"); });
  for (const guest::KernelFacts& k : kernels) {
    for (const std::string* text : {&k.name, &k.description, &k.build}) expect_a_line(*text);
    guest::kernel_of(guest::message_of(guest::to_message(k).dump()));
  }
}

void answer(const nlohmann::json& message) {
  std::optional<guest::Answer> answer;
  fuzz::expect_refusals<std::exception>([&] { answer = guest::answer_of(message); });
  if (!answer) return;
  expect_a_line(answer->why);
  guest::answer_of(guest::message_of(guest::to_message(*answer).dump()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::optional<nlohmann::json> message;
  fuzz::expect_refusals<std::exception>(
      [&] { message = guest::message_of(fuzz::text_of(data, size)); });
  if (!message) return 0;
  greet(*message);
  answer(*message);
  return 0;
}
