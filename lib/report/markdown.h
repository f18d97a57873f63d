#pragma once

#include <string>

#include "report/record.h"

namespace flashbench::report {

/// A table fit for a pull request, with the machine above and remarks below it.
std::string markdown_text(const Report& report);

}  // namespace flashbench::report
