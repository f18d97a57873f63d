#include "app/check/check_suite.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <set>
#include <span>

#include "app/check/suite_ranks.h"
#include "app/check/suite_rows.h"
#include "app/command_line/request.h"
#include "data/inputs.h"
#include "kernel/execution.h"
#include "registry/registry.h"
#include "report/grid.h"
#include "sweep/expand.h"
#include "sweep/number.h"
#include "sweep/shown.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

using namespace suite_rows;

/// "h=2 d=64" as settings.
sweep::Settings settings_of(std::string_view text, std::string_view row) {
  sweep::Settings settings;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
    if (word.empty()) continue;
    const std::size_t equals = word.find('=');
    sweep::Setting setting{{std::string(word.substr(equals + 1))}, fmt::format("suite {}", row)};
    settings.insert_or_assign(std::string(word.substr(0, equals)), std::move(setting));
  }
  return settings;
}

bool has_list(const sweep::Settings& settings, std::string_view name) {
  const auto it = settings.find(name);
  if (it == settings.end()) return false;
  return it->second.values.size() > 1 ||
         it->second.values[0].find_first_of(",:") != std::string::npos;
}

/// What tells this case from the others of its row.
std::string case_name(std::string_view row, const sweep::Settings& settings, const sweep::Case& c) {
  std::vector<const sweep::Field*> rows;
  for (const sweep::Field& f : sweep::fields())
    if (f.parse != nullptr && has_list(settings, f.name)) rows.push_back(&f);
  std::stable_sort(rows.begin(), rows.end(), [](const sweep::Field* a, const sweep::Field* b) {
    return a->rank.label < b->rank.label;
  });
  std::string text(row);
  for (const sweep::Field* f : rows) {
    const std::string label = sweep::label(*f, c);
    if (!label.empty()) text += "/" + label;
  }
  text += fmt::format("/{}/{}", name(c.problem.dtype), name(c.type));
  if (c.isa) text += fmt::format("/{}", name(*c.isa));
  if (!c.kernel.empty()) text += "/" + c.kernel;
  return text;
}

/// The types of the guests that the user names.
std::vector<std::string> guest_types(const sweep::Settings& narrow) {
  std::vector<std::string> types;
  for (const AttentionType type : kEnumerators<AttentionType>)
    if (sweep::names_guest(narrow, type)) types.emplace_back(name(type));
  return types;
}

/// Guests compute what flash does.
void add_guests(sweep::Setting& types, const std::vector<std::string>& guests) {
  const std::vector<std::string> own = sweep::split_list(types.values[0], types.where);
  if (std::find(own.begin(), own.end(), name(AttentionType::kFlash)) == own.end()) return;
  for (const std::string& guest : guests) types.values[0] += "," + guest;
}

/// Overlays what the user narrows; false where nothing of the row is left.
bool narrow_row(sweep::Settings& row, const sweep::Settings& narrow, const Backends& backends) {
  std::vector<std::string> wanted;
  for (const auto& [name, setting] : narrow) {
    if (name == "type")
      for (const std::string& value : setting.values)
        for (std::string& item : sweep::split_list(value, setting.where))
          wanted.push_back(std::move(item));
    else
      row.insert_or_assign(name, setting);
  }
  if (const auto kernel = narrow.find("kernel"); wanted.empty() && kernel != narrow.end())
    for (const std::string& value : kernel->second.values)
      for (const std::string& item : sweep::split_list(value, kernel->second.where))
        wanted.emplace_back(name(type_of_kernel(item, backends)));
  const std::vector<std::string> guests = guest_types(narrow);
  if (wanted.empty()) wanted = guests;
  if (wanted.empty()) return true;
  sweep::Setting& types = row.at("type");
  add_guests(types, guests);
  std::string left;
  for (const std::string& item : sweep::split_list(types.values[0], types.where))
    if (std::find(wanted.begin(), wanted.end(), item) != wanted.end())
      left += (left.empty() ? "" : ",") + item;
  types.values = {left};
  return !left.empty();
}

std::vector<AttentionType> types_of(const sweep::Settings& settings) {
  std::vector<AttentionType> types;
  const sweep::Setting& setting = settings.at("type");
  for (const std::string& item : sweep::split_list(setting.values[0], setting.where))
    if (const auto type = from_name<AttentionType>(item)) types.push_back(*type);
  return types;
}

/// Takes out what has no effect on any of these types, such as the block sizes of the paper type: a
/// sweep would refuse it.
void erase_idle(sweep::Settings& settings, const std::vector<AttentionType>& types) {
  for (const sweep::Field& f : sweep::fields()) {
    if (f.idle.empty() || f.varies != sweep::Varies::kWithinGroup) continue;
    const bool any = std::any_of(types.begin(), types.end(), [&](AttentionType type) {
      sweep::Case c;
      c.type = type;
      return f.has_effect(c);
    });
    if (const auto idle = settings.find(f.name); !any && idle != settings.end())
      settings.erase(idle);
  }
}

/// It is asked for, alone.
bool is_emulated(const sweep::Settings& narrow) {
  const auto device = narrow.find("device");
  return device != narrow.end() &&
         device->second.values == std::vector<std::string>{device_text(kEmulatedDevice)};
}

class Suite {
 public:
  Suite(const sweep::Settings& narrow, const Backends& backends)
      : narrow_(narrow), backends_(backends), emulated_(is_emulated(narrow)) {}

  void add(std::span<const Row> rows, std::string_view defaults, std::string_view suffix = "") {
    for (const Row& row : rows) {
      const std::string name = fmt::format("{}{}", row.name, suffix);
      sweep::Settings settings =
          settings_of(fmt::format("{} {} {}", defaults, row.settings,
                                  emulated_ ? row.emulated : std::string_view{}),
                      row.name);
      if (!narrow_row(settings, narrow_, backends_)) continue;
      erase_idle(settings, types_of(settings));
      for (sweep::Group& group : sweep::expand({settings, {}}, sweep::Defaults{})) {
        NamedGroup named_group;
        for (sweep::Case& c : group.cases) {
          std::string full_name = case_name(name, settings, c);
          named_group.cases.push_back({name, std::move(full_name), std::move(c)});
        }
        groups_.push_back(std::move(named_group));
      }
    }
  }

  std::vector<NamedGroup> groups() && { return std::move(groups_); }

 private:
  const sweep::Settings& narrow_;
  const Backends& backends_;
  const bool emulated_;
  std::vector<NamedGroup> groups_;
};

/// Of several a row says whose it is.
enum class Guests { kAtMostOne, kSeveral };

Guests count_guests(const sweep::Group& group) {
  std::set<std::string> guests;
  for (const sweep::Case& c : group.cases)
    if (is_guest(c.type)) guests.insert(c.plugin + c.worker);
  return guests.size() > 1 ? Guests::kSeveral : Guests::kAtMostOne;
}

/// "flash, both, f32, b1 h2 4096x4096 d512, causal"; files decide what it leaves out.
std::string short_name(const sweep::Case& c, Guests guests) {
  const Problem& p = c.problem;
  const sweep::CaseRecord record = sweep::record_of(c);
  std::string text(name(c.type));
  if (guests == Guests::kSeveral && is_guest(c.type))
    text += fmt::format(" {}{}", c.plugin, c.worker);
  text += fmt::format(", {}", name(p.pass));
  if (!p.files.any())
    text += fmt::format(", {}, {}", name(p.dtype), report::workload_text(record.workload));
  if (const std::string mask = report::mask_text(record.workload); mask != "none")
    text += ", " + mask;
  text += sweep::others_text(record);
  if (c.isa) text += fmt::format(", {}", name(*c.isa));
  return text;
}

/// Settings for `narrow` alone, so that a bad value is named by its flag and not by a row.
void vet(const sweep::Settings& narrow, const Backends& backends) {
  sweep::Settings settings = narrow;
  erase_idle(settings, {AttentionType::kFlash});
  sweep::expand({settings, {}}, defaults(Pass::kForward, {AttentionType::kFlash}, {}, backends));
}

/// "isa=scalar,avx2 ": the levels that run here.
std::string every_isa(const Backends& backends) {
  std::string isas;
  for (Backend* b : backends)
    for (const IsaStatus& s : b->isas())
      if (!s.absent) isas += fmt::format("{}{}", isas.empty() ? "isa=" : ",", name(s.isa));
  return isas + " ";
}

/// Whatever `narrow` leaves computes without ISA levels.
bool leaves_no_isas(const sweep::Settings& narrow, const Backends& backends) {
  if (narrow.contains("device")) return true;
  if (!guest_types(narrow).empty() && !narrow.contains("type")) return true;  // guests alone
  const auto setting = narrow.find("backend");
  if (setting == narrow.end()) return false;
  const Backend* only = registry::find(backends, {setting->second.values[0]});
  return only != nullptr && !only->info().takes_isa;
}

}  // namespace

std::vector<NamedGroup> suite(const sweep::Settings& narrow, const Backends& backends) {
  vet(narrow, backends);
  Suite all(narrow, backends);
  const std::string masks(kEveryMask);
  const std::string edges(kEdgeDefaults);
  all.add(kShapes, masks + std::string(kFastTypes));
  all.add(kShapes, masks + std::string(kPaperType), "_paper");
  all.add(kEdges, edges + std::string(kFastTypes));
  all.add(kEdges, edges + std::string(kPaperType), "_paper");
  all.add(kWindows, std::string(kVariantDefaults) + std::string(kFastTypes));
  all.add(kWindows, std::string(kVariantDefaults) + std::string(kPaperType), "_paper");
  all.add(kSoftcaps, std::string(kVariantDefaults) + std::string(kFastTypes));
  all.add(kSoftcaps, std::string(kVariantDefaults) + std::string(kPaperType), "_paper");
  all.add(kValueDims, std::string(kVariantDefaults) + std::string(kFastTypes));
  all.add(kValueDims, std::string(kVariantDefaults) + std::string(kPaperType), "_paper");
  const std::string alibi = std::string(kVariantDefaults) + "alibi=standard ";
  all.add(kAlibis, alibi + std::string(kFastTypes));
  all.add(kAlibis, alibi + std::string(kPaperType), "_paper");
  const std::string sinks = std::string(kVariantDefaults) + "sinks=random ";
  all.add(kSinks, sinks + std::string(kFastTypes));
  all.add(kSinks, sinks + std::string(kPaperType), "_paper");
  const std::string bias = std::string(kVariantDefaults) + "bias=random bias_grad=true ";
  all.add(kBiases, bias + std::string(kFastTypes));
  all.add(kBiases, bias + std::string(kPaperType), "_paper");
  const std::string ragged(kRaggedDefaults);
  all.add(kRaggedBatches, ragged + std::string(kFastTypes));
  all.add(kRaggedBatches, ragged + std::string(kPaperType), "_paper");
  all.add(kPages, std::string(kPagesDefaults) + std::string(kFastTypes));
  all.add(kPieces, std::string(kVariantDefaults) + std::string(kPiecesTypes));
  all.add(kKvDtypes, std::string(kKvDtypeDefaults) + std::string(kFastTypes));
  all.add(kValuesInKeys, std::string(kValuesInKeysDefaults) + std::string(kFastTypes));
  if (!leaves_no_isas(narrow, backends)) {
    const std::string isas = every_isa(backends);
    all.add(kLevels, masks + std::string(kFastTypes) + isas);
    all.add(kRaggedLevels, ragged + std::string(kFastTypes) + isas);
    all.add(kPagesLevels, std::string(kPagesDefaults) + std::string(kFastTypes) + isas);
    all.add(kPiecesLevels, std::string(kVariantDefaults) + std::string(kPiecesTypes) + isas);
    all.add(kKvDtypeLevels, std::string(kKvDtypeDefaults) + std::string(kFastTypes) + isas);
    all.add(kValuesInKeysLevels,
            std::string(kValuesInKeysDefaults) + std::string(kFastTypes) + isas);
  }
  all.add(kSizes, kFastTypes);
  all.add(kPaperBlocks, masks + std::string(kPaperType));
  return std::move(all).groups();
}

std::vector<NamedGroup> suite_over_ranks(const sweep::Settings& narrow, const Backends& backends) {
  vet(narrow, backends);
  Suite all(narrow, backends);
  all.add(kOverRanks, kRanksDefaults);
  return std::move(all).groups();
}

std::vector<NamedGroup> named(const std::vector<sweep::Group>& groups,
                              const std::vector<std::string>& given) {
  std::vector<NamedGroup> out;
  for (const sweep::Group& group : groups) {
    data::OpenFiles open;
    const Problem problem = data::resolve(group.problem(), given, open);
    NamedGroup named_group;
    const Guests guests = count_guests(group);
    for (const sweep::Case& c : group.cases) {
      sweep::Case resolved = c;
      resolved.problem = problem;
      named_group.cases.push_back({short_name(resolved, guests), sweep::flags(resolved), c});
    }
    out.push_back(std::move(named_group));
  }
  return out;
}

bool selects(std::string_view filter, std::string_view name) {
  if (filter.empty()) return true;
  if (filter.find_first_of("*?") == std::string_view::npos)
    return name.find(filter) != std::string_view::npos;
  return ::fnmatch(std::string(filter).c_str(), std::string(name).c_str(), 0) == 0;
}

}  // namespace flashbench::app
