// What is computed: the shape, the types of numbers, who sees whom.
#include <fmt/format.h>

#include <filesystem>
#include <limits>
#include <system_error>

#include "sweep/kv_dtype.h"
#include "sweep/parse.h"
#include "sweep/ragged.h"
#include "sweep/rows.h"
#include "sweep/widths.h"
#include "sweep/word_or_file.h"

namespace flashbench::sweep {
namespace {

constexpr auto kB = FB_MEMBER(problem.shape.b);
constexpr auto kH = FB_MEMBER(problem.shape.h);
constexpr auto kHKv = FB_MEMBER(problem.shape.h_kv);
constexpr auto kQLen = FB_MEMBER(problem.shape.q_len);
constexpr auto kKvLen = FB_MEMBER(problem.shape.kv_len);
constexpr auto kD = FB_MEMBER(problem.shape.d);
constexpr auto kDV = FB_MEMBER(problem.shape.own_d_v);
constexpr auto kRagged = FB_MEMBER(problem.ragged);
constexpr auto kRaggedFile = FB_MEMBER(problem.files.ragged);
constexpr auto kPageSize = FB_MEMBER(problem.page_size);
constexpr auto kKvChunk = FB_MEMBER(problem.kv_chunk);
constexpr auto kPass = FB_MEMBER(problem.pass);
constexpr auto kDtype = FB_MEMBER(problem.dtype);
constexpr auto kF32Math = FB_MEMBER(problem.f32_math);
constexpr auto kVInK = FB_MEMBER(problem.v_in_k);
constexpr auto kCausal = FB_MEMBER(problem.causal);
constexpr auto kWindowLeft = FB_MEMBER(problem.window_left);
constexpr auto kWindowRight = FB_MEMBER(problem.window_right);
constexpr auto kMaskKeep = FB_MEMBER(problem.mask_keep);
constexpr auto kPadding = FB_MEMBER(problem.padding);
constexpr auto kMaskFile = FB_MEMBER(problem.files.mask);
constexpr auto kDo = FB_MEMBER(problem.d_o);
constexpr auto kDoFile = FB_MEMBER(problem.files.d_o);

// ---- what the general functions of parse.h do not say ----

template <auto at>
constexpr Recorded recorded_window() {
  return {.place = Place::kWorkload,
          .type = ValueType::kInteger,
          .nullable = true,
          .absent = kNone,
          .least = 0,
          .value = [](const Case& c) { return value_of(at(c)); }};
}

constexpr Limits kWidths{.most = kMaxHeadDim}, kPageSizes{.least = 0, .most = kMostPageSize},
    kChunks{.least = 0, .most = std::numeric_limits<std::int32_t>::max()};

// Of a ragged batch the sequences say how many they are and how long.

bool is_ragged(const Case& c) { return c.problem.ragged != Ragged::kNone; }
bool has_one_length(const Case& c) { return !is_ragged(c); }

Axis parse_ragged_batches(const Asked& a) {
  Axis axis;
  for_each_word_or_file(a.setting, [&](const std::string& item) {
    if (item == name(Ragged::kNone)) {
      axis.push_back([](Case&) {});
      return;
    }
    for (const char* lengths : {"b", "q_len", "kv_len"})
      if (const auto other = a.all.find(lengths); other != a.all.end())
        throw UsageError(
            fmt::format("{} says how many sequences there are and how long; leave {} "
                        "out",
                        a.setting.where, other->second.where));
    if (const auto lengths = parse_ragged(item, a.setting.where)) {
      axis.push_back([of = Sequences::of(*lengths)](Case& c) {
        kRagged(c) = Ragged::kLengths;
        c.problem.shape.set(of);
      });
      return;
    }
    std::error_code ignored;
    const bool is_path = item.find_first_of("./") != std::string::npos;
    if (!is_path && !std::filesystem::exists(item, ignored))
      throw UsageError(
          fmt::format("{} must be none, lengths such as 2q2k_32q1s1k (two sequences of 2048 "
                      "queries and keys, 32 of one query and 1024 keys) or a file; {} is no file",
                      a.setting.where, quote(item)));
    axis.push_back([item](Case& c) {
      kRagged(c) = Ragged::kFile;
      kRaggedFile(c) = item;
    });
  });
  return axis;
}
std::string ragged_lengths(const Case& c) {
  switch (kRagged(c)) {
    case Ragged::kNone:
      return kNone;
    case Ragged::kLengths:
      return ragged_text(*c.problem.shape.sequences);
    case Ragged::kFile:
      return kRaggedFile(c);
  }
  no_such_enumerator();
}
/// A bundle's own lengths are used without being asked for.
bool says_ragged(const Case& c) {
  return is_ragged(c) ? !ragged_lengths(c).empty() : !c.problem.files.bundle.empty();
}
/// Of many different lengths how many there are: `input` says which.
Value recorded_ragged(const Case& c) {
  constexpr std::size_t kMost = 100;
  const Sequences* const sequences = c.problem.shape.sequences;
  if (sequences == nullptr) return std::string(name(kRagged(c)));
  std::string text = ragged_text(*sequences);
  return text.size() <= kMost ? text : fmt::format("{} sequences", sequences->count());
}
constexpr Recorded recorded_lengths() {
  Recorded r;
  r.place = Place::kWorkload;
  r.value = recorded_ragged;
  return noted(r,
               "none, the lengths as --ragged takes them, or file; b is the number of "
               "sequences, q_len and kv_len are the most that one has");
}
void erase_lengths(CaseRecord& r) {
  r.workload.b = r.workload.q_len = r.workload.kv_len = 0;
  erase_from_input(r, "ragged");
}

std::string mask_label(const Case& c) {
  switch (c.problem.padding) {
    case PaddingMask::kNone:
      return "unpadded";
    case PaddingMask::kRandom:
      return "padded";
    case PaddingMask::kFile:
      return c.problem.files.mask;
  }
  no_such_enumerator();
}
Value recorded_mask(const Case& c) { return std::string(name(c.problem.padding)); }
bool random_mask(const Case& c) { return c.problem.padding == PaddingMask::kRandom; }
Value recorded_mask_keep(const Case& c) {
  return random_mask(c) ? Value(c.problem.mask_keep) : Value();
}

bool do_said(const Case& c) {
  return c.problem.needs_gradients() && says_word_or_file<kDo, kDoFile>(c);
}
void reset_do(Case& c) {
  c.problem.d_o = Problem{}.d_o;
  c.problem.files.d_o.clear();
}

// ---- what follows from a field by default, for compare --by ----

void erase_kv_heads(CaseRecord& r) {
  if (r.workload.h_kv == r.workload.h) r.workload.h_kv = 0;
}
void erase_keys(CaseRecord& r) {
  if (r.workload.kv_len == r.workload.q_len) r.workload.kv_len = 0;
}
void erase_usual_scale_and_values(CaseRecord& r) {
  if (has_usual_scale(r.workload)) r.workload.scale = 0;
  if (r.workload.d_v() == r.workload.d) r.workload.own_d_v.reset();
}
void erase_keep(CaseRecord& r) {
  r.workload.mask_keep.reset();
  erase_from_input(r, "mask");
}

// ---- what tables say ----

/// Lengths of a ragged batch; "" of another.
std::string ragged_cell(const CaseRecord& r) {
  const auto lengths = r.workload.others.find("ragged");
  if (lengths == r.workload.others.end()) return "";
  const std::string text = text_of(lengths->second);
  return text == kNone ? "" : text;
}
bool has_own_lengths(const CaseRecord& r) { return !ragged_cell(r).empty(); }
std::string batch_cell(const CaseRecord& r) {
  return has_own_lengths(r) ? "" : fmt::format("b{}", r.workload.b);
}
std::string heads_cell(const CaseRecord& r) {
  const Workload& w = r.workload;
  return w.h == w.h_kv ? fmt::format("h{}", w.h) : fmt::format("h{}/{}", w.h, w.h_kv);
}
/// Of a series of lengths what does not vary: no keys, and queries where they do not follow.
std::string lengths_cell(const CaseRecord& r) {
  const Workload& w = r.workload;
  if (has_own_lengths(r)) return "";
  if (w.kv_len == 0) return w.q_len == 0 ? "" : fmt::format("q_len {}", w.q_len);
  return fmt::format("{}x{}", w.q_len, w.kv_len);
}
std::string mask_cell(const CaseRecord& r) {
  const Workload& w = r.workload;
  if (w.mask == name(PaddingMask::kNone)) return "";
  return w.mask_keep ? fmt::format("{} {:g}", w.mask, *w.mask_keep) : w.mask;
}
constexpr std::string_view kSizes = "workload", kMasks = "mask";  // columns

// In the order of the help. Ranks: {nest, line, column, label, shown}.
// A row each, not a line for each member:
// clang-format off
constexpr Field kRows[] = {
    {.name = "b", .value = "N", .help = "batch", .rank = {2, 0, 0, 0}, .parse = parse_sizes<kB>,
     .text = print<kB>, .said = has_one_length,
     .recorded = between(recorded<&Workload::b>(recorded_as<kB>), 1),
     .shown = {.title = "batch", .phrase = "batch {}", .column = kSizes, .cell = batch_cell,
               .axis = 4}},
    {.name = "h", .value = "N", .help = "query heads", .rank = {2, 0, 0, 0},
     .parse = parse_sizes<kH>, .text = print<kH>, .said = always,
     .recorded = erasing(between(recorded<&Workload::h>(recorded_as<kH>), 1), erase_kv_heads),
     .shown = {.title = "query heads", .phrase = "{} heads", .column = kSizes, .cell = heads_cell,
               .always = true, .axis = 5}},
    {.name = "h_kv", .value = "N", .help = "key/value heads; divides --h (default: --h)",
     .rank = {2, 0, 0, 0}, .parse = parse_sizes<kHKv>, .text = print<kHKv>,
     .said = [](const Case& c) { return kHKv(c) != kH(c); },
     .follows = [](const Case& c) { return kHKv(c) == kH(c); },
     .recorded = between(recorded<&Workload::h_kv>(recorded_as<kHKv>), 1),
     .shown = {.title = "key/value heads", .phrase = "{} key/value heads", .abbreviation = "hkv",
               .column = kNoColumn, .axis = 6, .follows = "h"}},
    {.name = "q_len", .value = "N", .help = "queries", .rank = {4, 0, 0, 0},
     .parse = parse_sizes<kQLen>, .text = print<kQLen>, .said = has_one_length,
     .recorded = erasing(between(recorded<&Workload::q_len>(recorded_as<kQLen>), 1), erase_keys),
     .shown = {.title = "sequence length (queries)", .phrase = "{} queries", .abbreviation = "q",
               .column = kSizes, .cell = lengths_cell, .always = true, .axis = 1}},
    {.name = "kv_len", .value = "N", .help = "keys (default: --q_len)", .rank = {4, 0, 0, 0},
     .parse = parse_sizes<kKvLen>, .text = print<kKvLen>, .said = has_one_length,
     .follows = [](const Case& c) { return kKvLen(c) == kQLen(c); },
     .recorded = between(recorded<&Workload::kv_len>(recorded_as<kKvLen>), 1),
     .shown = {.title = "keys", .phrase = "{} keys", .abbreviation = "kv", .column = kNoColumn,
               .axis = 2, .follows = "q_len"}},
    {.name = "ragged", .value = "R",
     .help = "sequences of their own lengths, packed: 2q2k_32q1s1k are two of 2048 queries and keys "
             "and 32 of one query and 1024 keys; or FILE with cu_seqlens_q and cu_seqlens_k; in place "
             "of --b, --q_len and --kv_len (default: none)",
     .rank = {4, 0, 0, 0}, .parse = parse_ragged_batches, .text = ragged_lengths,
     .said = says_ragged, .label = ragged_lengths, .needs = Feature::kRagged,
     .recorded = erasing(recorded_lengths(), erase_lengths),
     .shown = {.title = "sequences", .phrase = "sequences {}", .column = kSizes, .cell = ragged_cell}},
    {.name = "d", .value = "N", .help = "head dimension, up to 1024", .rank = {1, 0, 0, 0},
     .parse = parse_sizes<kD, kWidths>, .text = print<kD>, .said = always,
     .recorded = erasing(between(recorded<&Workload::d>(recorded_as<kD>), 1),
                         erase_usual_scale_and_values),
     .shown = {.title = "head dimension", .phrase = "d = {}", .column = kSizes, .cell = width_cell,
               .always = true, .axis = 3}},
    {.name = "d_v", .value = "N", .help = "head dimension of V and O, up to 1024 (default: --d)",
     .rank = {1, 0, 0, 0}, .parse = parse_sizes<kDV, kWidths>, .text = value_width_text,
     .said = [](const Case& c) { return !has_one_width(c); }, .follows = has_one_width,
     .needs = Feature::kValueDim,
     .recorded = noted(between(recorded_value_width(), 1), "null or absent: as d"),
     .shown = {.title = "head dimension of values", .phrase = "d_v = {}", .abbreviation = "dv",
               .column = kNoColumn, .axis = 7, .follows = "d"}},
    {.name = "v_in_k",
     .help = "V is the first --d_v columns of K, which are read once, forward only",
     .rank = {3, 1, 0, 0}, .parse = parse_switch<kVInK>, .text = print<kVInK>,
     .said = is_set<kVInK>, .needs = Feature::kValuesInKeys, .recorded = in_workload<kVInK>(),
     .shown = {.phrase = "V in K"}},
    {.name = "pass", .value = "P", .help = "{}", .words = choices_of<Pass>, .rank = {0, 2, 0, 5, -2},
     .parse = parse_enumerators<kPass>, .text = print<kPass>, .said = always, .label = print<kPass>,
     .needs = Feature::kGradients,
     .recorded = one_of(recorded<&CaseRecord::pass>(recorded_as<kPass>), words_of<Pass>),
     .shown = {.phrase = "{}", .always = true}},
    {.name = "dtype", .value = "T", .help = "{} (default: f32)", .words = choices_of<Dtype>,
     .rank = {0, 1, 0, 0, -1}, .parse = parse_enumerators<kDtype>, .text = print<kDtype>,
     .said = always, .label = no_label,
     .recorded = one_of(recorded<&Workload::dtype>(recorded_as<kDtype>), words_of<Dtype>),
     .shown = {.phrase = "{}", .always = true}},
    {.name = "kv_dtype", .value = "T",
     .help = "of K and V: e4m3 or e5m2, 8 bits and a descale a head, forward only (default: --dtype)",
     .rank = {0, 1, 0, 0}, .parse = parse_kv_dtypes, .text = kv_dtype_text,
     .said = [](const Case& c) { return !has_one_dtype(c); },
     .label = [](const Case& c) { return "kv_" + kv_dtype_text(c); }, .follows = has_one_dtype,
     .needs = Feature::kKvDtype, .recorded = recorded_kv_dtype(),
     .shown = {.title = "dtype of K and V", .phrase = "kv {}", .follows = "dtype"}},
    {.name = "f32_math", .value = "M",
     .help = "of f32 products: {}, operands split in three (default: ieee)",
     .words = choices_of<F32Math>, .rank = {0, 1, 0, 0}, .parse = parse_enumerators<kF32Math>,
     .text = print<kF32Math>, .said = is_set<kF32Math>, .label = print<kF32Math>,
     .needs = Feature::kBf16x6, .recorded = in_workload<kF32Math>(words_of<F32Math>),
     .shown = {.phrase = "f32 by {}"}},
    {.name = "page_size", .value = "N",
     .help = "K and V lie in pages of N rows of a pool, in random order, forward only (default: 0, one row "
             "behind the other)",
     .rank = {3, 1, 0, 0}, .parse = parse_sizes<kPageSize, kPageSizes>, .text = print<kPageSize>,
     .said = is_set<kPageSize>, .needs = Feature::kPages,
     .recorded = between(in_workload<kPageSize>(), 0),
     .shown = {.title = "rows of a page", .phrase = "pages of {}", .abbreviation = "page"}},
    {.name = "kv_chunk", .value = "N",
     .help = "K and V come in pieces of N keys: O and LSE are carried in f32 from piece to piece (default: "
             "0, at once)",
     .rank = {3, 1, 0, 0}, .parse = parse_sizes<kKvChunk, kChunks>, .text = print<kKvChunk>,
     .said = is_set<kKvChunk>, .needs = Feature::kKvChunk,
     .recorded = between(in_workload<kKvChunk>(), 0),
     .shown = {.title = "keys of a piece", .phrase = "K and V in pieces of {}",
               .abbreviation = "chunk"}},
    {.name = "causal", .help = "query i sees key j only if j <= i + kv_len - q_len",
     .rank = {3, 3, 0, 4}, .parse = parse_switch<kCausal>, .text = print<kCausal>,
     .said = is_set<kCausal>,
     .label = [](const Case& c) { return std::string(kCausal(c) ? "causal" : "full"); },
     .needs = Feature::kCausal, .recorded = recorded<&Workload::causal>(recorded_as<kCausal>),
     .shown = {.column = kMasks}},
    {.name = "window_left", .value = "N",
     .help = "query i sees key j only if j >= i + kv_len - q_len - N (default: none)",
     .rank = {3, 3, 0, 4}, .parse = parse_sizes_or_none<kWindowLeft>, .text = print_or_none<kWindowLeft>,
     .said = is_set<kWindowLeft>, .needs = Feature::kWindow,
     .recorded = recorded_window<kWindowLeft>(),
     .shown = {.title = "keys on a query's left", .phrase = "window left {}",
               .abbreviation = "left", .column = kMasks}},
    {.name = "window_right", .value = "N",
     .help = "and only if j <= i + kv_len - q_len + N; --causal is 0 (default: none)",
     .rank = {3, 3, 0, 4}, .parse = parse_sizes_or_none<kWindowRight>, .text = print_or_none<kWindowRight>,
     .said = is_set<kWindowRight>, .needs = Feature::kWindow,
     .recorded = recorded_window<kWindowRight>(),
     .shown = {.title = "keys on a query's right", .phrase = "window right {}",
               .abbreviation = "right", .column = kMasks}},
    {.name = "mask", .value = "M",
     .help = "keys that are kept: none, random or FILE (default: none)", .rank = {3, 3, 0, 4},
     .parse = parse_word_or_file<kPadding, kMaskFile>, .text = word_or_file<kPadding, kMaskFile>,
     .said = says_word_or_file<kPadding, kMaskFile>, .label = mask_label,
     .needs = Feature::kKeyMask,
     .recorded = erasing(one_of(recorded<&Workload::mask>(recorded_mask), words_of<PaddingMask>),
                         erase_keep),
     .shown = {.phrase = "{} padding", .column = kMasks, .cell = mask_cell}},
    {.name = "mask_keep", .value = "P",
     .help = "probability that a random mask keeps a key (default: 0.5)", .rank = {3, 3, 0, 2},
     .parse = parse_reals<kMaskKeep, kProbability>, .text = print<kMaskKeep>,
     .said = [](const Case& c) { return random_mask(c) && is_set<kMaskKeep>(c); },
     .has_effect = random_mask, .reset = reset_to_default<kMaskKeep>,
     .idle = "needs --mask random",
     .recorded = between(recorded<&Workload::mask_keep>(recorded_mask_keep), 0, 1),
     .shown = {.phrase = "{} kept", .abbreviation = "keep", .column = kMasks, .cell = nothing}},
    {.name = "do", .value = "G",
     .help = "gradient of the output: ones, random or FILE (default: ones)", .rank = {3, 5, 0, 3},
     .parse = parse_word_or_file<kDo, kDoFile>, .text = word_or_file<kDo, kDoFile>,
     .said = do_said,
     .label = [](const Case& c) { return fmt::format("do_{}", name(c.problem.d_o)); },
     .has_effect = [](const Case& c) { return c.problem.needs_gradients(); }, .reset = reset_do,
     .idle = "is for gradients: backward, or --pass backward or both"},
};
// clang-format on

}  // namespace

std::span<const Field> problem_rows() { return kRows; }

}  // namespace flashbench::sweep
