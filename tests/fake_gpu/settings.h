#pragma once

#include <cstdlib>
#include <sstream>
#include <string>

namespace fake {

/// A setting of "name=value;name=value" in an environment variable.
inline std::string setting(const char* variable, const std::string& name,
                           const std::string& otherwise) {
  const char* const text = std::getenv(variable);
  std::istringstream entries(text == nullptr ? "" : text);
  for (std::string entry; std::getline(entries, entry, ';');)
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
  return otherwise;
}

inline long number(const char* variable, const std::string& name, long otherwise) {
  return std::stol(setting(variable, name, std::to_string(otherwise)));
}

}  // namespace fake
