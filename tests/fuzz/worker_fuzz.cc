// What a worker says: its greeting and its answers. The other end reads the program's own messages.
#include <nlohmann/json.hpp>

#include "guest/protocol.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace flashbench;
  const auto message = nlohmann::json::parse(fuzz::text_of(data, size), nullptr, false);
  if (message.is_discarded()) return 0;
  fuzz::expect_refusals<std::exception>(
      [&] { guest::to_message(guest::kernel_of(message)).dump(); });
  fuzz::expect_refusals<std::exception>(
      [&] { guest::to_message(guest::answer_of(message)).dump(); });
  return 0;
}
