#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace flashbench {

/// Text from outside, fit for one line of a message: in single quotes, control bytes escaped as
/// \xNN, the middle of anything longer than `max_bytes` left out.
std::string quote(std::string_view text, std::size_t max_bytes = 160);

}  // namespace flashbench
