#pragma once

#include <string>

#include "guest/guest.h"
#include "guest/protocol.h"

namespace flashbench::guest {

/// Greets, then answers what the program asks of a guest, until the other end is closed. What is no
/// request, or none that can be, is answered as a failure.
void serve(Guest& guest, Channel& channel);

/// The life of a worker: loads the plug-in, of the ABI of that name, and answers what the program
/// asks through the socket that kSocketVariable names, until that is closed. `driver`: the library
/// that it finds in the place of CUDA's; "": whatever is there. Returns the exit code of the
/// process.
int serve_plugin(const std::string& abi, const std::string& text, const std::string& driver);

}  // namespace flashbench::guest
