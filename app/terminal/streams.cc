#include "app/terminal/streams.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "report/layout.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::app {
namespace {

/// Every character beyond ASCII that the program has words with, and what says it in ASCII. With
/// the blank behind it both are as wide, so that tables stay aligned.
constexpr std::pair<std::string_view, std::string_view> kStandIns[] = {
    {"± ", "+-"}, {"±", "+-"}, {"–", "-"}};

/// Line by line escaped.
std::string printable(std::string_view text) {
  std::string shown;
  for (std::size_t end = 0; (end = text.find('\n')) != text.npos; text.remove_prefix(end + 1))
    shown += escape(text.substr(0, end)) + "\n";
  return shown + escape(text);
}

/// As it is, escape sequences included.
void write_err(const std::string& text) {
  const std::string shown = in_locale(text, locale_name());
  std::fwrite(shown.data(), 1, shown.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::string in_locale(std::string text, std::string_view locale) {
  std::string plain;
  for (const char c : locale)
    if (c != '-') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (plain.find("utf8") != std::string::npos) return text;
  for (const auto& [character, stand_in] : kStandIns)
    for (std::size_t at = 0; (at = text.find(character, at)) != std::string::npos;)
      text.replace(at, character.size(), stand_in);
  return text;
}

std::string_view locale_name() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  return "C";
}

void print_out(std::string_view text) { print_data(in_locale(printable(text), locale_name())); }

void print_data(std::string_view text) {
  errno = 0;
  const std::size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (written == text.size() && std::fflush(stdout) == 0) return;
  const int error = errno;
  if (error == EPIPE) {
    // SIGPIPE was ignored, by the parent: with its default action back, it ends this program.
    ::signal(SIGPIPE, SIG_DFL);
    ::raise(SIGPIPE);
  }
  throw UsageError(fmt::format("cannot write to stdout: {}", std::strerror(error)));
}

void print_err(std::string_view text) {
  if (text.empty()) return;
  draw_line("");
  write_err(printable(text));
}

void draw_line(std::string_view text) {
  static bool drawn = false;
  if (drawn || !text.empty()) write_err(fmt::format("\r\x1b[K{}", text));
  drawn = !text.empty();
}

void say(std::string_view line) {
  if (stderr_takes_escapes()) draw_line(escape(line));
}

std::size_t table_width() {
  if (::isatty(STDOUT_FILENO) == 0) return std::numeric_limits<std::size_t>::max() / 2;
  winsize size{};
  const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
  return known ? std::max<std::size_t>(size.ws_col, report::kTableWidth) : report::kTableWidth;
}

std::string folded(std::string_view text) { return report::folded(text, table_width()); }

bool stderr_takes_escapes() {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::string_view(value == nullptr ? "" : value);
  };
  const std::string_view terminal = variable("TERM");
  return ::isatty(STDERR_FILENO) != 0 && !terminal.empty() && terminal != "dumb" &&
         variable("NO_COLOR").empty();
}

}  // namespace flashbench::app
