#pragma once

#include <optional>
#include <string>
#include <vector>

namespace flashbench::report {

/// One case of `check` as a CI server shows it.
struct JunitCase {
  std::string name;
  std::string classname;  ///< the group, e.g. "flash.forward"
  double time_s = 0;
  std::optional<std::string> failure;  ///< first line: the message; all of it: the text
  std::optional<std::string> skipped;  ///< why
};

/// JUnit XML (the dialect of Jenkins and GitLab). Characters that XML 1.0 forbids are dropped.
std::string junit_text(const std::string& suite, const std::vector<JunitCase>& cases);

}  // namespace flashbench::report
