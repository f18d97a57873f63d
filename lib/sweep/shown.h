#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sweep/field.h"

/// What tables and captions say of the fields of a case.
namespace flashbench::sweep {

/// A column of what tells cases apart: one field, or several that are said together.
struct Column {
  std::string title;
  std::vector<const Field*> fields;

  /// Of a table: "b1 h8/2 4096x4096 d128", "causal+random 0.5", "2"; "" where it is as usual.
  std::string cell(const CaseRecord& record) const;
  /// Whether a cell goes without saying: "", or "none" of the masks.
  bool is_usual(const std::string& cell) const;
  /// A cell where no heading says what it is: "no mask", "mask random 0.5", "2 threads".
  std::string phrase(const std::string& cell) const;
  /// The same in a list of what is not usual: "random 0.5", "2 threads".
  std::string brief(const std::string& cell) const;
  /// Whether its cells are numbers, which say nothing by themselves.
  bool is_number() const;
};

/// Every column of the rows that have one, in the order of Rank::shown.
std::vector<Column> columns(std::span<const Field> table = fields());

/// The cell of one column, by its title: "workload", "mask".
std::string column_text(std::string_view title, const CaseRecord& record,
                        std::span<const Field> table = fields());

/// The same as captions say it: "no mask", "random key-padding mask (keeps 0.5)".
std::string column_phrase(std::string_view title, const CaseRecord& record,
                          std::span<const Field> table = fields());

/// What is not usual about a record, as its columns say it: "forward, f32, b1 h2 4096x4096 d512,
/// causal, avx2, 2 threads". `keep`: the fields to speak of; null: all.
std::string described(const CaseRecord& record, bool (*keep)(const Field&) = nullptr,
                      std::span<const Field> table = fields());

/// The same of fields that have a column of their own and no member of Workload, each behind a
/// comma: ", constant values".
std::string others_text(const CaseRecord& record, std::span<const Field> table = fields());

/// Whether the field says what is computed, not how.
bool poses_the_problem(const Field& field);

}  // namespace flashbench::sweep
