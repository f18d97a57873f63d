#include "system/quote.h"

#include <fmt/format.h>

#include <algorithm>

namespace flashbench {
namespace {

/// Bytes of the character that `text` begins with, in UTF-8; 0 where it is none that can be shown:
/// a control character (U+0080 to U+009F are some too) or a byte out of place.
std::size_t shown_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const unsigned lead = byte(0), second = byte(1);
  if (lead < 0x80) return lead < 0x20 || lead == 0x7f ? 0 : 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  // Overlong forms, surrogates, beyond U+10FFFF.
  const unsigned least = lead == 0xc2 || lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  for (std::size_t i = 2; i < bytes; ++i)
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
  return bytes;
}

/// No further than `at`, and not inside a UTF-8 sequence.
std::size_t character_start(std::string_view text, std::size_t at) {
  for (int back = 0; back < 3 && at > 0; ++back, --at)
    if ((static_cast<unsigned char>(text[at]) & 0xc0u) != 0x80u) break;
  return at;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t shown = shown_bytes(text);
    if (shown == 0) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    out += text.substr(0, shown);
    text.remove_prefix(std::max<std::size_t>(shown, 1));
  }
  return out;
}

std::string quote(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return fmt::format("'{}'", escape(text));
  const std::size_t head = character_start(text, max_bytes / 2);
  const std::size_t tail = character_start(text, text.size() - max_bytes / 4);
  return fmt::format("'{}...{}' ({} bytes)", escape(text.substr(0, head)),
                     escape(text.substr(tail)), text.size());
}

std::string shell_word(const std::string& word) {
  static constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+%@";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace flashbench
