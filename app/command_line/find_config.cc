#include "app/command_line/find_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "sweep/text.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".json";

/// Where configs lie that come with the program: here, installed beside it, in its source tree.
std::vector<fs::path> folders() {
  std::vector<fs::path> all = {"configs"};
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error)
    for (const char* beside : {"../share/flashbench/configs", "../../configs"})
      all.push_back((program.parent_path() / beside).lexically_normal());
  return all;
}

/// What is there but cannot be read is for the reader to say.
bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::status(path, ignored).type() != fs::file_type::not_found;
}
bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == kSuffix) names.push_back(at->path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// The configs of the first folder that has some, for messages.
std::string what_there_is(const std::string& name) {
  for (const fs::path& folder : folders()) {
    const std::vector<std::string> names = names_in(folder);
    if (names.empty()) continue;
    const std::string hint = sweep::did_you_mean(fs::path(name).stem().string(), names);
    return fmt::format(" in {}{}", escape(folder.string()),
                       hint.empty() ? fmt::format("; there are {}", fmt::join(names, ", ")) : hint);
  }
  return "; name a JSON file";
}

}  // namespace

std::string find_config(const std::string& name) {
  if (name.empty()) throw UsageError("--config needs a value, got an empty one");
  if (is_there(name) && !is_folder(name)) return name;
  const bool is_bare = name.find('/') == std::string::npos;
  std::vector<fs::path> candidates = {name + kSuffix};
  for (const fs::path& folder : folders())
    if (is_bare) candidates.insert(candidates.end(), {folder / name, folder / (name + kSuffix)});
  for (const fs::path& candidate : candidates)
    if (is_there(candidate) && !is_folder(candidate)) return candidate.string();
  if (is_there(name)) return name;  // a folder
  throw UsageError(fmt::format("--config {}: no such file, and no such config{}", escape(name),
                               what_there_is(name)));
}

}  // namespace flashbench::app
