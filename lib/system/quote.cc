#include "system/quote.h"

#include <fmt/format.h>

namespace flashbench {

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out;
}

namespace {

/// No further than `at`, and not inside a UTF-8 sequence.
std::size_t character_start(std::string_view text, std::size_t at) {
  for (int back = 0; back < 3 && at > 0; ++back, --at)
    if ((static_cast<unsigned char>(text[at]) & 0xc0u) != 0x80u) break;
  return at;
}

}  // namespace

std::string quote(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return fmt::format("'{}'", escape(text));
  const std::size_t head = character_start(text, max_bytes / 2);
  const std::size_t tail = character_start(text, text.size() - max_bytes / 4);
  return fmt::format("'{}...{}' ({} bytes)", escape(text.substr(0, head)),
                     escape(text.substr(tail)), text.size());
}

}  // namespace flashbench
