#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/features.h"
#include "sweep/case.h"
#include "sweep/record.h"
#include "sweep/settings.h"

namespace flashbench::sweep {

struct Defaults;

/// The values that one field takes, each as what it does to a case.
using Axis = std::vector<std::function<void(Case&)>>;

/// A setting to parse, and what else was asked for.
struct Asked {
  const Setting& setting;
  const Settings& all;
  const Defaults& defaults;
};

/// Under which heading of the help a flag stands. Workload and tensors make the Problem.
enum class Heading { kWorkload, kExecution, kTensors, kTiming };
/// Which commands take the flag.
enum class Scope { kWhatComputes, kAlsoInfo, kBench };
/// Where a sweep varies it. Cases of one group share their inputs and are measured interleaved.
enum class Varies { kBetweenGroups, kWithinGroup, kNever };
/// Where it stands in a report's result: among the members of `workload`, which say what was
/// computed, or beside them, which say how.
enum class Place { kNowhere, kWorkload, kResult };
enum class ValueType { kBoolean, kInt, kInteger, kSeed, kNumber, kText };

/// Where orders differ from the table's. Equal ranks keep the order of the table, so that a new row
/// with its neighbour's ranks follows that neighbour everywhere.
struct Rank {
  int nest = 0;    ///< of the loops of a sweep, outermost first
  int line = 0;    ///< of the line that reproduces a case
  int column = 0;  ///< of the report
  int label = 0;   ///< of a case's name in check's suite
  int shown = 0;   ///< of the columns of tables and of what captions say
};

/// All values of a field that is one of a few words.
using Words = std::vector<std::string> (*)();

/// What a report says of the field.
struct Recorded {
  Place place = Place::kNowhere;
  std::string_view name = {};  ///< where it is not the flag's
  ValueType type = ValueType::kText;
  bool nullable = false;
  std::string_view absent = {};  ///< the word that stands for null in flags; "": none does
  // What the report's schema says of the value.
  std::optional<double> least = {}, most = {};
  Words words = nullptr;  ///< the only ones that it may be
  std::string_view note = {};
  /// Of a case that was asked for; null: what runs decides.
  Value (*value)(const Case&) = nullptr;
  /// The member that holds it; null: Workload::others, and reports may lack it.
  Value (*get)(const CaseRecord&) = nullptr;
  void (*put)(CaseRecord&, const Value&) = nullptr;
  bool tells_apart = true;  ///< part of the key by which `compare` and resume know a case
  /// Takes what follows from the field by default out of a record, for `compare --by`.
  void (*erase_followers)(CaseRecord&) = nullptr;
};

/// The column of a field that tables name in another one's column, or not at all.
inline constexpr std::string_view kNoColumn = "-";

/// What tables, captions and pictures say of a field that is in the report. What is left out has a
/// default, with which a new field shows wherever its value is not the usual one.
struct Shown {
  std::string_view title = {};   ///< in words, beside an axis; "": its name
  std::string_view phrase = {};  ///< where no heading names it: "{} queries"; "": name and value
  std::string_view abbreviation = {};  ///< in short names of cases: "q" of q65; "": its name
  std::string_view column = {};        ///< of tables, which fields may share; "": its own
  /// Text in that column; null: its value, and "" where that is the usual one.
  std::string (*cell)(const CaseRecord&) = nullptr;
  bool always = false;            ///< said even where it is the usual one
  int axis = 0;                   ///< pictures go along the first of 1, 2, ... that varies; 0: none
  std::string_view follows = {};  ///< whose value it has by default
};

/// One field of a case, which is one flag and one key of a config. All that the program knows of a
/// field stands here, but for the member of Problem or Case that `parse` sets.
struct Field {
  std::string_view name;        ///< without dashes
  std::string_view value = "";  ///< what the help calls its value; "" for a switch
  bool repeats = false;         ///< the flag may be given again, for another value
  std::string_view help = "";   ///< {} stands for its words
  /// Those that the flag takes, where they are few.
  std::vector<std::string> (*words)(const Defaults&) = nullptr;
  Heading heading = Heading::kWorkload;
  Scope scope = Scope::kWhatComputes;
  Varies varies = Varies::kBetweenGroups;
  Rank rank = {};
  /// Null for a row that is no flag: it is in the report alone.
  Axis (*parse)(const Asked&) = nullptr;
  Axis (*unset)(const Defaults&) = nullptr;    ///< its values where nobody gave any
  std::string (*text)(const Case&) = nullptr;  ///< as the flag takes it
  bool (*said)(const Case&) = nullptr;         ///< whether the reproducing line has it
  /// In names of check's cases; null: abbreviation and text.
  std::string (*label)(const Case&) = nullptr;
  bool (*follows)(const Case&) = nullptr;     ///< it is what follows from other fields
  bool (*has_effect)(const Case&) = nullptr;  ///< null: always
  void (*reset)(Case&) = nullptr;             ///< to the default, where it has no effect
  /// What a kernel must support where the field is not as usual.
  std::optional<Feature> needs = {};
  std::string_view idle = "";  ///< why a flag that never has an effect is refused
  Recorded recorded = {};
  Shown shown = {};
};

/// The table.
std::span<const Field> fields();

/// Its help, the words in it.
std::string help_text(const Field& field, const Defaults& defaults);
std::string label(const Field& field, const Case& c);

/// What a value that is none of `words` might have been: "; did you mean 'bf16'?" or, where it is
/// one of another flag's, "; did you mean '--dtype bf16'?"; else "".
std::string meant_value(const std::string& text, const std::vector<std::string>& words);

/// The field that a flag of this name sets, or null.
const Field* find_field(std::span<const Field> table, std::string_view name);

/// The rows that stand in a report, first those of `workload`, in the order of its columns.
std::vector<const Field*> recorded_fields(std::span<const Field> table = fields());
std::string_view recorded_name(const Field& field);
/// What a report says of it where nobody asked for anything; null where runs decide.
Value usual(const Field& field);

Value get(const Field& field, const CaseRecord& record);
/// Null sets what a record without the field has.
void put(const Field& field, CaseRecord& record, const Value& value);

/// What a case was asked for, as a report says it; what a run decides (isa, threads) is left out.
CaseRecord record_of(const Case& c, std::span<const Field> table = fields());

/// A record of a workload alone.
CaseRecord record_of(const Workload& w);

/// What the fields that are not as usual need of a kernel. core/features.h says the same of a
/// Problem, for the kernels, which lie below the table.
Features needed(const Case& c, std::span<const Field> table = fields());

/// The flags that reproduce a case with its command, without the program's name: always the shape,
/// the pass, the dtype and the type; the rest where it differs from the default.
std::string flags(const Case& c, std::span<const Field> table = fields());

/// The same for a problem, whoever computes it.
std::string flags(const Problem& p, std::span<const Field> table = fields());

/// What tells the workloads of two records apart, and what tells the cases apart.
std::string workload_key(const Workload& w, std::span<const Field> table = fields());
std::string case_key(const CaseRecord& record, std::span<const Field> table = fields());

}  // namespace flashbench::sweep
