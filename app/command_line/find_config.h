#pragma once

#include <string>

namespace flashbench::app {

/// The file that --config names: a path, with or without its .json, or the name of one of the
/// configs that come with the program (`gemma2_9b`). Throws UsageError, with what there is, where
/// there is no such file.
std::string find_config(const std::string& name);

}  // namespace flashbench::app
