#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace flashbench::sweep {

/// "a", "a or b", "a, b or c".
std::string alternatives(const std::vector<std::string>& words);

/// The single-character insertions, deletions, replacements and swaps of neighbours that turn one
/// word into the other (optimal string alignment distance).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The known word that `word` most likely meant, or "" when none is close.
std::string closest(std::string_view word, const std::vector<std::string>& known);

/// "; did you mean 'bench'?" with `prefix` before the word, or "" when none is close.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known,
                         std::string_view prefix = "");

/// The same of names that have parts, "cpu_flash" of "flsh": where no whole name is close, one of
/// which a part is.
std::string did_you_mean_name(std::string_view word, const std::vector<std::string>& known);

}  // namespace flashbench::sweep
