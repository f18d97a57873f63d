#pragma once

#include <string>

namespace flashbench::guest {

/// The life of a worker: loads the plug-in, of the ABI of that name, and answers what the program
/// asks through the socket that kSocketVariable names, until that is closed. Returns the exit code
/// of the process.
int serve_plugin(const std::string& abi, const std::string& text);

}  // namespace flashbench::guest
