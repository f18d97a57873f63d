#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
};

/// What a report says of the field.
struct Recorded {
  Place place = Place::kNowhere;
  std::string_view name = {};  ///< where it is not the flag's
  ValueType type = ValueType::kText;
  bool nullable = false;
  /// Of a case that was asked for; null: what runs decides.
  Value (*value)(const Case&) = nullptr;
  /// The member that holds it; null: Workload::others, and reports may lack it.
  Value (*get)(const CaseRecord&) = nullptr;
  void (*put)(CaseRecord&, const Value&) = nullptr;
  bool tells_apart = true;  ///< part of the key by which `compare` and resume know a case
  /// Takes what follows from the field by default out of a record, for `compare --by`.
  void (*erase_followers)(CaseRecord&) = nullptr;
};

/// One field of a case, which is one flag and one key of a config. All that the program knows of a
/// field stands here, but for the member of Problem or Case that `parse` sets.
struct Field {
  std::string_view name;        ///< without dashes
  std::string_view value = "";  ///< what the help calls its value; "" for a switch
  std::string_view help = "";
  Heading heading = Heading::kWorkload;
  Scope scope = Scope::kWhatComputes;
  Varies varies = Varies::kBetweenGroups;
  Rank rank = {};
  /// Null for a row that is no flag: it is in the report alone.
  Axis (*parse)(const Asked&) = nullptr;
  Axis (*unset)(const Defaults&) = nullptr;     ///< its values where nobody gave any
  std::string (*text)(const Case&) = nullptr;   ///< as the flag takes it
  bool (*said)(const Case&) = nullptr;          ///< whether the reproducing line has it
  std::string (*label)(const Case&) = nullptr;  ///< in names of check's cases; null: name, text
  bool (*follows)(const Case&) = nullptr;       ///< it is what follows from other fields
  bool (*has_effect)(const Case&) = nullptr;    ///< null: always
  void (*reset)(Case&) = nullptr;               ///< to the default, where it has no effect
  std::string_view idle = "";                   ///< why a flag that never has an effect is refused
  Recorded recorded = {};
};

/// The table.
std::span<const Field> fields();

/// The field that a flag of this name sets, or null.
const Field* find_field(std::span<const Field> table, std::string_view name);

/// The rows that stand in a report, first those of `workload`, in the order of its columns.
std::vector<const Field*> recorded_fields(std::span<const Field> table = fields());
std::string_view recorded_name(const Field& field);

Value get(const Field& field, const CaseRecord& record);
/// Null sets what a record without the field has.
void put(const Field& field, CaseRecord& record, const Value& value);

/// What a case was asked for, as a report says it; what a run decides (isa, threads) is left out.
CaseRecord record_of(const Case& c, std::span<const Field> table = fields());

/// The flags that reproduce a case with its command, without the program's name: always the shape,
/// the pass, the dtype and the type; the rest where it differs from the default.
std::string flags(const Case& c, std::span<const Field> table = fields());

/// The same for a problem, whoever computes it.
std::string flags(const Problem& p, std::span<const Field> table = fields());

/// What tells the workloads of two records apart, and what tells the cases apart.
std::string workload_key(const Workload& w, std::span<const Field> table = fields());
std::string case_key(const CaseRecord& record, std::span<const Field> table = fields());

/// ", name value" for every field by name only that is not as usual: for lines that name a case.
std::string others_text(const Workload& w, std::span<const Field> table = fields());

}  // namespace flashbench::sweep
