#pragma once

#include <cstddef>
#include <string>

namespace flashbench {

/// Whether a NUL byte ends the reading: /dev/zero and a file with a hole have one at once.
enum class Nul { kTaken, kRefused };

/// What a user names, for errors.
struct TextFile {
  std::string path;
  std::string flag;  ///< "--config"; "" for an operand
  std::string noun;  ///< what no larger file is: "config"
  std::string kind;  ///< what the flag takes: "a JSON file"
  std::size_t most_bytes = std::size_t{4} << 20;
  Nul nul = Nul::kTaken;
};

/// Reads at most so many bytes, so that /dev/zero ends too. Pipes are fine. Throws UsageError.
std::string read_text(const TextFile& file);

}  // namespace flashbench
