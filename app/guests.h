#pragma once

#include <vector>

#include "app/command_line/command.h"
#include "guest/guest_backend.h"

namespace flashbench::app {

/// How the command line wants guests kept: --isolate, --patience. Throws UsageError.
void configure_guests(const CommandLine& line, const std::vector<guest::GuestBackend*>& guests);

}  // namespace flashbench::app
