#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace flashbench::app {

/// For people: to stdout, flushed, in the characters of the locale, and of control characters only
/// newlines: the others, which a file's name may hold, are written as \xNN. A reader that went away
/// (`| head`) ends the program silently, as it ends any filter; another failure (a full disk)
/// throws UsageError.
void print_out(std::string_view text);

/// For programs: as print_out(), but whatever the locale is: JSON and Markdown are UTF-8.
void print_data(std::string_view text);

/// For people: to stderr, flushed, in the same characters, in the place of a line that draw_line()
/// has left there; a failure is ignored, since it could be told nowhere.
void print_err(std::string_view text);

/// Rewrites the last line of stderr where stderr_takes_escapes(); "" takes it away.
void say(std::string_view line);

/// `text` as a locale of that name shows it: unless the name says UTF-8, "251.3 ± 0.9 ms" becomes
/// "251.3 +-0.9 ms", which is as wide.
std::string in_locale(std::string text, std::string_view locale);

/// The name of the locale that the environment chooses for characters; "C" where it chooses none.
std::string_view locale_name();

/// Whether what is on stderr may be drawn over: a terminal, which is not dumb, and no NO_COLOR.
bool stderr_takes_escapes();

/// Characters of a line of a table: as many as the terminal of stdout has, 80 at least. Elsewhere
/// rows stay whole, since what reads them reads lines.
std::size_t table_width();

/// Sentences of `text` that are wider than table_width() go on below.
std::string folded(std::string_view text);

/// Rewrites the last line of stderr, which takes escapes; "" takes it away where one is there.
/// Whatever `text` holds from outside was escaped.
void draw_line(std::string_view text);

}  // namespace flashbench::app
