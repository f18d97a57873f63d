#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace flashbench {

/// Control characters and bytes that are no UTF-8 become \xNN: a file's name stays on one line of a
/// message and tells a terminal nothing.
std::string escape(std::string_view text);

/// Text from outside, fit for one line of a message: in single quotes, escaped, the middle of
/// anything longer than `max_bytes` left out.
std::string quote(std::string_view text, std::size_t max_bytes = 160);

/// Quotes a word for a POSIX shell where it needs it.
std::string shell_word(const std::string& word);

}  // namespace flashbench
