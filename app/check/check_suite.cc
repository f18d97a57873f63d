#include "app/check/check_suite.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <span>

#include "app/command_line/request.h"
#include "registry/registry.h"
#include "report/grid.h"
#include "sweep/expand.h"
#include "sweep/number.h"
#include "sweep/shown.h"
#include "system/error.h"

namespace flashbench::app {
namespace {

/// Rows are named after the failure that they guard against; settings are written as flags are.
struct Row {
  std::string_view name;
  std::string_view settings;
};

// Every shape is swept over masks and dtypes; each case runs forward and backward with a random dO;
// what decodes without gradients is a kernel of its own.
constexpr std::string_view kEveryMask = "causal=false,true mask=none,random pass=both do=random ";
constexpr std::string_view kFastTypes = "type=flash,normal dtype=f32,bf16,f16 ";
constexpr std::string_view kPaperType = "type=paper dtype=f32 q_block=16 kv_block=24 ";

constexpr Row kShapes[] = {
    {"one_of_everything", "h=1 q_len=1 kv_len=1 d=1"},
    {"one_query_decode", "h=4 h_kv=2 q_len=1 kv_len=257 d=64 pass=forward,both"},
    {"one_key", "h=2 q_len=33 kv_len=1 d=8"},
    {"full_tiles", "h=2 q_len=128 kv_len=192 d=64"},
    {"ragged_both_tiles", "h=2 q_len=65 kv_len=130 d=64"},
    {"one_short_of_a_tile", "h=1 q_len=63 kv_len=95 d=31"},
    {"rows_that_see_nothing", "h=2 q_len=100 kv_len=37 d=32"},  // causal, more queries than keys
    {"more_keys_than_queries", "h=2 q_len=37 kv_len=300 d=32"},
    {"grouped_heads", "h=8 h_kv=2 q_len=50 kv_len=70 d=40"},
    {"one_kv_head", "h=6 h_kv=1 q_len=45 kv_len=33 d=24"},
    {"batch_strides", "b=3 h=2 q_len=40 kv_len=56 d=48"},
    {"head_dim_tails", "h=1 q_len=34 kv_len=41 d=2,3,7,15,17,33,100,129"},
    {"wide_head_dim", "h=1 q_len=30 kv_len=52 d=256,300,512,1024"},
    {"many_key_blocks", "h=1 q_len=70 kv_len=1100 d=64"},
    {"many_query_blocks", "h=1 q_len=700 kv_len=90 d=64"},
};

// What a sweep over shapes does not reach.
constexpr Row kEdges[] = {
    {"scores_that_overflow_without_the_max",
     "q_len=70 kv_len=150 d=64 scale=3,12 causal=false,true"},
    {"negative_scale", "q_len=60 kv_len=80 d=32 scale=-0.5 causal=false,true"},
    {"scale_zero_is_a_mean", "q_len=60 kv_len=80 d=32 scale=0 causal=false,true"},
    {"scale_is_not_the_default", "q_len=60 kv_len=80 d=32 scale=0.01,1"},
    {"scores_beyond_the_precision_of_lse",
     "h=1 q_len=1,48 kv_len=150 d=64,256 scale=1e4,1e8,-1e30 causal=false,true "
     "pass=forward,both"},
    {"nothing_kept", "q_len=40 kv_len=60 d=32 mask=random mask_keep=0 causal=false,true"},
    {"everything_kept", "q_len=40 kv_len=60 d=32 mask=random mask_keep=1 causal=false,true"},
    {"few_kept", "b=2 q_len=70 kv_len=500 d=32 mask=random mask_keep=0.01 causal=false,true"},
    {"loss_is_sum_of_o", "q_len=90 kv_len=90 d=64 do=ones causal=false,true"},
    {"other_seeds", "q_len=48 kv_len=72 d=64 seed=1,18446744073709551615"},
    {"values_of_real_tensors",
     "h_kv=1 q_len=70 kv_len=150 d=64,129 causal=false,true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"values_that_are_alike_decode",
     "h=4 h_kv=2 q_len=1 kv_len=300 d=64 pass=forward,both "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"passes_apart", "h_kv=1 q_len=90 kv_len=110 d=64 pass=forward,backward causal=false,true"},
    {"deterministic", "q_len=200 kv_len=130 d=64 deterministic=true causal=false,true"},
    {"one_thread", "q_len=90 kv_len=110 d=64 threads=1 causal=false,true"},
    {"more_threads_than_work", "h=1 q_len=5 kv_len=9 d=16 threads=7 causal=false,true"},
    {"odd_threads", "h=5 q_len=70 kv_len=200 d=64 threads=3 causal=false,true"},
};
// Bands around the diagonal, with rows that begin in later tiles and keys that nobody sees.
constexpr Row kWindows[] = {
    {"window_on_the_left",
     "q_len=200 kv_len=200 d=64 causal=true window_left=0,1,63,128 mask=none,random"},
    {"window_on_both_sides",
     "q_len=130 kv_len=170 d=64 window_left=none,0,17 window_right=1,40 mask=none,random"},
    {"window_of_real_tensors",
     "q_len=150 kv_len=400 d=64 causal=true window_left=50 "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"window_wider_than_all", "q_len=40 kv_len=60 d=32 window_left=500 window_right=59"},
    {"window_beside_rows_that_see_nothing",
     "q_len=100 kv_len=37 d=32 window_left=5 causal=false,true"},
    {"window_beside_keys_that_nobody_sees",
     "q_len=37 kv_len=300 d=32 window_left=20 causal=true mask=none,random"},
    {"window_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 window_left=300 causal=true"},
    {"window_and_decode",
     "h=4 q_len=1 kv_len=257 d=64 window_left=0,64 causal=false,true mask=none,random "
     "pass=forward,both"},
};
// Caps far above the scores, near them, and far below, where the slope of tanh is nearly 0.
constexpr Row kSoftcaps[] = {
    {"softcap", "q_len=90 kv_len=110 d=64,33 softcap=0.5,2,50 causal=false,true mask=none,random"},
    {"softcap_that_hides_all_differences", "q_len=60 kv_len=80 d=32 softcap=1e-6,0.01 scale=3"},
    {"softcap_that_saturates_alike",
     "q_len=300 kv_len=17 d=128 softcap=0.3 values=uniform,positive"},
    {"softcap_above_all_scores", "q_len=60 kv_len=80 d=32 softcap=1e6"},
    {"softcap_of_large_scores",
     "q_len=70 kv_len=150 d=64 softcap=30,100 scale=-3,12,1e8 causal=false,true"},
    {"softcap_scale_zero", "q_len=40 kv_len=60 d=32 softcap=20 scale=0"},
    {"softcap_of_real_tensors",
     "q_len=70 kv_len=150 d=64 softcap=5 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"softcap_and_window",
     "q_len=200 kv_len=260 d=64 softcap=2 causal=true window_left=63 mask=none,random"},
    {"softcap_and_rows_that_see_nothing", "q_len=100 kv_len=37 d=32 softcap=2 causal=true"},
    {"softcap_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 softcap=3 causal=true"},
    {"softcap_and_decode",
     "h=4 q_len=1 kv_len=257 d=64,33 softcap=2,50 mask=none,random pass=forward,both"},
};
// Sinks have about the weight of all keys of a row; with and without rows that see nothing else.
constexpr Row kSinks[] = {
    {"sinks", "q_len=90 kv_len=110 d=64,33 causal=false,true mask=none,random"},
    {"sinks_of_grouped_heads_and_batches", "b=2 h=6 h_kv=2 q_len=40 kv_len=56 d=32 causal=true"},
    {"sinks_beside_rows_that_see_nothing",
     "q_len=100 kv_len=37 d=32 causal=true do=ones,random mask=none,random"},
    {"sinks_and_nothing_kept", "q_len=40 kv_len=60 d=32 mask=random mask_keep=0"},
    {"sinks_of_real_tensors",
     "q_len=70 kv_len=150 d=64 causal=true do=ones,random "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"sinks_and_large_scores", "q_len=70 kv_len=150 d=64 scale=-3,0,12,1e8 causal=false,true"},
    {"sinks_and_window",
     "h=4 q_len=200 kv_len=260 d=64 causal=true window_left=63 mask=none,random"},
    {"sinks_and_softcap", "q_len=90 kv_len=110 d=64 softcap=0.5,20 causal=true mask=none,random"},
    {"sinks_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 causal=true"},
    {"sinks_and_decode",
     "h=4 q_len=1 kv_len=257 d=64,33 mask=none,random window_left=none,64 pass=forward,both"},
};
// Slopes of 2^-1 to 2^-8 and less, so that far keys weigh nothing.
constexpr Row kAlibis[] = {
    {"alibi", "q_len=90 kv_len=110 d=64,33 causal=false,true mask=none,random"},
    {"alibi_of_many_heads", "h=12 h_kv=4 q_len=60 kv_len=60 d=32 causal=true"},
    {"alibi_over_many_tiles", "h=4 q_len=700 kv_len=1100 d=64 causal=false,true"},
    {"alibi_with_more_queries_than_keys", "q_len=300 kv_len=37 d=32 causal=false,true"},
    {"alibi_far_from_all_keys", "q_len=40 kv_len=1500 d=32 mask=random mask_keep=0.01"},
    {"alibi_of_real_tensors",
     "q_len=70 kv_len=150 d=64 causal=true "
     "values=uniform,positive,constant,outlier_channel,outlier_rows"},
    {"alibi_and_large_scores", "q_len=70 kv_len=150 d=64 scale=-3,0,12,1e8 causal=false,true"},
    {"alibi_and_window",
     "h=4 q_len=200 kv_len=260 d=64 window_left=63 window_right=9 mask=none,random"},
    {"alibi_and_softcap", "q_len=90 kv_len=110 d=64 softcap=0.5,20 causal=true mask=none,random"},
    {"alibi_and_sinks", "q_len=90 kv_len=110 d=64 sinks=random causal=true mask=none,random"},
    {"alibi_softcap_sinks_and_window",
     "h=4 q_len=200 kv_len=260 d=64 softcap=5 sinks=random causal=true window_left=63"},
    {"alibi_and_decode",
     "h=4 q_len=1,3 kv_len=257,1100 d=64,33 mask=none,random pass=forward,both"},
};
constexpr std::string_view kVariantDefaults = "h=2 h_kv=1 pass=both do=random ";
constexpr std::string_view kEdgeDefaults = "h=2 pass=both do=random ";

// Every ISA level has its own tile operations: tails, masks and dtypes at each of them.
constexpr Row kLevels[] = {
    {"every_isa", "h=2 h_kv=1 q_len=65 kv_len=130 d=64,33,320"},
    {"every_isa_window", "h=2 h_kv=1 q_len=65 kv_len=530 d=64 window_left=40"},
    {"every_isa_softcap", "h=2 h_kv=1 q_len=65 kv_len=130 d=64 softcap=2"},
    {"every_isa_softcap_decode", "h=2 h_kv=1 q_len=1 kv_len=200 d=128 softcap=2 pass=forward,both"},
    {"every_isa_alibi", "h=2 h_kv=1 q_len=65 kv_len=330 d=64 alibi=standard sinks=random"},
    {"every_isa_sinks", "h=2 h_kv=1 q_len=65 kv_len=130 d=64 sinks=random"},
    {"every_isa_decode", "h=2 h_kv=1 q_len=1 kv_len=200 d=128 pass=forward,both"},
};

// One size that is no toy: many blocks of both kinds, on all threads.
constexpr Row kSizes[] = {
    {"real_size", "h=4 h_kv=2 q_len=1k kv_len=1k d=128 causal=true pass=both do=random"},
};

constexpr Row kPaperBlocks[] = {
    {"paper_blocks", "q_len=50 kv_len=70 d=16 q_block=1,7,64 kv_block=1,9,128"},
};

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
  if (wanted.empty()) return true;
  sweep::Setting& types = row.at("type");
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

class Suite {
 public:
  Suite(const sweep::Settings& narrow, const Backends& backends)
      : narrow_(narrow), backends_(backends) {}

  void add(std::span<const Row> rows, std::string_view defaults, std::string_view suffix = "") {
    for (const Row& row : rows) {
      const std::string name = fmt::format("{}{}", row.name, suffix);
      sweep::Settings settings =
          settings_of(fmt::format("{} {}", defaults, row.settings), row.name);
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
  std::vector<NamedGroup> groups_;
};

/// "flash, both, f32, b1 h2 4096x4096 d512, causal"; files decide what it leaves out.
std::string short_name(const sweep::Case& c) {
  const Problem& p = c.problem;
  const sweep::CaseRecord record = sweep::record_of(c);
  std::string text = fmt::format("{}, {}", name(c.type), name(p.pass));
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
  const std::string alibi = std::string(kVariantDefaults) + "alibi=standard ";
  all.add(kAlibis, alibi + std::string(kFastTypes));
  all.add(kAlibis, alibi + std::string(kPaperType), "_paper");
  const std::string sinks = std::string(kVariantDefaults) + "sinks=random ";
  all.add(kSinks, sinks + std::string(kFastTypes));
  all.add(kSinks, sinks + std::string(kPaperType), "_paper");
  if (!leaves_no_isas(narrow, backends))
    all.add(kLevels, masks + std::string(kFastTypes) + every_isa(backends));
  all.add(kSizes, kFastTypes);
  all.add(kPaperBlocks, masks + std::string(kPaperType));
  return std::move(all).groups();
}

std::vector<NamedGroup> named(const std::vector<sweep::Group>& groups) {
  std::vector<NamedGroup> out;
  for (const sweep::Group& group : groups) {
    NamedGroup named_group;
    for (const sweep::Case& c : group.cases)
      named_group.cases.push_back({short_name(c), sweep::flags(c), c});
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
