#pragma once

#include <string>

namespace flashbench::guest {

/// The life of a worker: loads the plug-in, of the ABI of that name, and answers what the program
/// asks through the socket that kSocketVariable names, until that is closed. `driver`: the library
/// that it finds in the place of CUDA's; "": whatever is there. Returns the exit code of the
/// process.
int serve_plugin(const std::string& abi, const std::string& text, const std::string& driver);

}  // namespace flashbench::guest
