#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "report/record.h"

namespace flashbench::report {

/// A report as rows and columns of text, before it is laid out. What is the same in every row is
/// said once, in the caption, so that the table stays narrow.
struct Grid {
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  struct Row {
    std::vector<std::string> cells;
    std::string note;  ///< in the place of the measured columns: "skipped: needs 68.7 GB, ..."
  };

  std::string machine;  ///< "AMD EPYC, 2 threads, avx2, GNU 12.2.0, flashbench 0.1.0"
  std::string caption;  ///< "forward, f32, b1 h2 4096x4096 d512, no mask, avx2, 2 threads"
  std::string peaks;    ///< "peaks measured here: f32 avx2 273.5 GFLOP/s, ..."; may be empty
  std::vector<Column> columns;
  std::size_t measured = 0;  ///< the first column of what was measured
  std::vector<Row> rows;

  std::vector<std::string> models;        ///< model_lines()
  std::vector<std::string> summary;       ///< summary_lines()
  std::vector<std::string> explanations;  ///< explanation_lines()
};

/// Results as published().
Grid make_grid(const Report& report, std::span<const sweep::Field> table = sweep::fields());

/// "flash forward f32 b1 h2 4096x4096 d512 causal".
std::string result_text(const Result& r);

/// "b1 h8/2 4096x4096 d128": h/h_kv where they differ, q_len x kv_len.
std::string workload_text(const Workload& w);

/// "none", "causal", "random 0.5", "causal+window left 127", "causal+file".
std::string mask_text(const Workload& w);
/// "no mask", "causal", "random key-padding mask (keeps 0.5)", and whatever else is not usual:
/// "causal, constant values".
std::string mask_phrase(const Workload& w);

}  // namespace flashbench::report
