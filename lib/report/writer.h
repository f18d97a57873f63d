#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/record.h"

namespace flashbench::report {

/// Where a report goes: a path, "-" for stdout, "" for nowhere.
struct Outputs {
  std::string json, csv, md;
  std::string bmf = {}, github = {};  ///< for trends: lib/report/trend.h
};

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
/// that is cut short leaves FILE as it was and FILE.partial with everything that was done.
class ReportWriter {
 public:
  /// Before any work: throws UsageError for a path that cannot be written. The outputs are
  /// distinct.
  explicit ReportWriter(Outputs outputs);

  /// Something goes to stdout, so that the table has to go to stderr.
  bool stdout_taken() const;

  /// A case has finished: with --json FILE, writes FILE.partial (whole or not at all).
  void update(const Report& report) const;

  /// All cases have finished: writes every output and removes FILE.partial.
  void finish(const Report& report) const;

  /// FILE.partial; empty where there is none (no --json, stdout, or a file that is not replaced).
  const std::string& partial_path() const { return partial_; }

 private:
  Outputs outputs_;
  std::string partial_;
};

}  // namespace flashbench::report
