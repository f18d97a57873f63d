#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "report/record.h"
#include "system/locked_file.h"

namespace flashbench::report {

/// Where a report goes: a path, "-" for stdout, "" for nowhere.
struct Outputs {
  std::string json, csv, md;
  std::string bmf = {}, github = {};  ///< for trends: lib/report/trend.h
};

/// Whether `path` is one of stdout's names, /dev/stdout or /dev/fd/1 say. What goes there shares it
/// with the table, so that it is "-": opened anew, both would write to its beginning.
bool names_stdout(const std::string& path);

/// A file that a flag names beside them; "" for none.
struct NamedOutput {
  std::string_view flag;
  std::string path;
};

/// Throws UsageError where two outputs are one file, or two go to stdout; FILE.partial is one too.
/// And where one would replace a file that is read: `inputs`, in which "" is none.
void require_distinct(const Outputs& reports, std::vector<NamedOutput> outputs = {},
                      const std::vector<std::string>& inputs = {});

/// Keeps FILE.partial up to date while cases finish, and puts FILE in its place at the end. A run
/// that is cut short leaves FILE as it was and FILE.partial with everything that was done. No other
/// run writes to the same files meanwhile.
class ReportWriter {
 public:
  /// Before any work: throws UsageError for a path that cannot be written, and for one that another
  /// run writes to. The outputs are distinct.
  explicit ReportWriter(Outputs outputs);

  /// Something goes to stdout, so that the table has to go to stderr.
  bool stdout_taken() const;

  /// A case has finished: with --json FILE, writes FILE.partial (whole or not at all). Returns why
  /// that failed, the first time; else "".
  std::string update(const Report& report);

  /// All cases have finished: tries to write every output, and removes FILE.partial once FILE is
  /// there. Returns a line for each that is lost.
  std::vector<std::string> finish(const Report& report);

  /// FILE.partial; empty where there is none (no --json, stdout, or a file that is not replaced).
  const std::string& partial_path() const { return partial_; }

 private:
  std::string lost_json(const std::string& why, const Report& report) const;

  Outputs outputs_;
  std::string partial_;
  std::size_t kept_ = 0;  ///< cases in FILE.partial
  bool complained_ = false;
  std::vector<OutputLock> locks_;
};

}  // namespace flashbench::report
