#include "report/junit.h"

#include <fmt/format.h>

#include <algorithm>

namespace flashbench::report {
namespace {

/// Length of the valid UTF-8 sequence at `at`, of a character that XML allows; 0 otherwise.
std::size_t character_length(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return first >= 0x20 || first == '\t' || first == '\n' ? 1 : 0;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!continues(1) || !continues(2)) return 0;
    const unsigned code = (first & 0xFu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code >= 0x800 && !surrogate && code < 0xFFFE ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    const unsigned code = (first & 0x7u) << 18 | (byte(1) & 0x3Fu) << 12;
    return code >= 0x10000 && code <= 0x10FFFF ? 4 : 0;
  }
  return 0;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = character_length(text, i);
    if (length == 1 && text[i] == '&')
      out += "&amp;";
    else if (length == 1 && text[i] == '<')
      out += "&lt;";
    else if (length == 1 && text[i] == '>')
      out += "&gt;";
    else if (length == 1 && text[i] == '"')
      out += "&quot;";
    else if (length == 1 && text[i] == '\n')
      out += "&#10;";  // an attribute would turn a plain one into a blank
    else
      out.append(text, i, length);
    i += std::max<std::size_t>(length, 1);
  }
  return out;
}

std::string case_text(const JunitCase& c) {
  std::string text = fmt::format("  <testcase name=\"{}\" classname=\"{}\" time=\"{:.6f}\"",
                                 escaped(c.name), escaped(c.classname), c.time_s);
  if (c.failure) {
    const std::string message = c.failure->substr(0, c.failure->find('\n'));
    return text + fmt::format(">\n    <failure message=\"{}\">{}</failure>\n  </testcase>\n",
                              escaped(message), escaped(*c.failure));
  }
  if (c.skipped)
    return text +
           fmt::format(">\n    <skipped message=\"{}\"/>\n  </testcase>\n", escaped(*c.skipped));
  return text + "/>\n";
}

}  // namespace

std::string junit_text(const std::string& suite, const std::vector<JunitCase>& cases) {
  const auto failures = std::count_if(cases.begin(), cases.end(),
                                      [](const JunitCase& c) { return c.failure.has_value(); });
  const auto skipped = std::count_if(cases.begin(), cases.end(), [](const JunitCase& c) {
    return c.skipped.has_value() && !c.failure;
  });
  double time_s = 0;
  for (const JunitCase& c : cases) time_s += c.time_s;
  std::string text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  text += fmt::format(
      "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" "
      "time=\"{:.6f}\">\n",
      escaped(suite), cases.size(), failures, skipped, time_s);
  for (const JunitCase& c : cases) text += case_text(c);
  return text + "</testsuite>\n";
}

}  // namespace flashbench::report
