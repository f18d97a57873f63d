#pragma once

#include <string>

#include "report/record.h"

namespace flashbench::report {

/// Where a report goes: a path, "-" for stdout, "" for nowhere.
struct Outputs {
  std::string json, csv, md;
};

/// Keeps FILE.partial up to date while cases finish, and puts FILE in its place at the end. A run
/// that is cut short leaves FILE as it was and FILE.partial with everything that was done.
class ReportWriter {
 public:
  /// Before any work: throws UsageError for two "-", for one file named twice, and for a path that
  /// cannot be written.
  explicit ReportWriter(Outputs outputs);

  /// Something goes to stdout, so that the table has to go to stderr.
  bool stdout_taken() const;

  /// A case has finished: with --json FILE, writes FILE.partial (whole or not at all).
  void update(const Report& report) const;

  /// All cases have finished: writes every output and removes FILE.partial.
  void finish(const Report& report) const;

  /// FILE.partial; empty where there is none (no --json, stdout, a device or a FIFO).
  const std::string& partial_path() const { return partial_; }

 private:
  Outputs outputs_;
  std::string partial_;
};

}  // namespace flashbench::report
