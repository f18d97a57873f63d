#include <fmt/format.h>

#include <algorithm>

#include "core/extents.h"
#include "core/features.h"
#include "data/input_files.h"
#include "data/load_tensors.h"
#include "data/other_layout.h"
#include "data/pages.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

using Given = std::vector<std::string>;

bool has(const Given& given, std::string_view flag) {
  return std::find(given.begin(), given.end(), flag) != given.end();
}

/// One extent of the problem: what the user said, or what the first tensor that has it says.
struct Axis {
  Axis(Shape& shape, std::int64_t Shape::*member, const Given& flags) : value(&(shape.*member)) {
    for (const NamedExtent& e : kExtents)
      if (e.member == member) flag = e.name;
    given = has(flags, flag);
  }
  Axis(std::int64_t& extent, const char* name, const Given& flags)
      : flag(name), value(&extent), given(has(flags, name)) {}

  const char* flag = "";
  std::int64_t* value;
  bool given = false;      ///< by a flag
  std::string decided_by;  ///< the tensor that decided it, for messages; empty: none yet
};

/// Lets each tensor claim extents; a claim that contradicts an earlier one or a flag is an error
/// that names both.
class Claims {
 public:
  Claims(Problem& p, const Given& given)
      : problem_(p),
        dtype_given_(has(given, "dtype")),
        kv_dtype_given_(has(given, "kv_dtype")),
        b_(p.shape, &Shape::b, given),
        h_(p.shape, &Shape::h, given),
        h_kv_(p.shape, &Shape::h_kv, given),
        q_len_(p.shape, &Shape::q_len, given),
        kv_len_(p.shape, &Shape::kv_len, given),
        d_(p.shape, &Shape::d, given),
        page_size_(p.page_size, "page_size", given),
        own_d_v_(p.shape.d_v()),
        d_v_(own_d_v_, "d_v", given) {}

  /// How many sequences there are and how long no tensor decides any more.
  void lengths_are_known(const std::string& by) {
    for (Axis* axis : {&b_, &q_len_, &kv_len_}) axis->decided_by = by;
  }

  /// Before all others.
  void sequences(const LocatedInputs& found) {
    for (const Axis* axis : {&b_, &q_len_, &kv_len_})
      if (axis->given)
        throw UsageError(
            fmt::format("{} says how many sequences there are and how long; leave --{} "
                        "out, or say --ragged none",
                        found.first_query->label(), axis->flag));
    std::vector<SequenceLengths> lengths = load_sequences(*found.first_query, found.first_key);
    if (found.kv_lens && !found.first_key) {
      const std::vector<std::int64_t> keys = load_kv_lens(*found.kv_lens);
      if (keys.size() != lengths.size())
        throw UsageError(fmt::format("{} is of {} sequences, but {} is of {}",
                                     found.first_query->label(), lengths.size(),
                                     found.kv_lens->label(), keys.size()));
      for (std::size_t i = 0; i < keys.size(); ++i) lengths[i].keys = keys[i];
    }
    keys_follow_queries_ = !found.first_key && !found.kv_lens;
    problem_.shape.set(Sequences::of(lengths));
    lengths_are_known(found.first_query->label());
    if (found.first_key) kv_len_.decided_by = found.first_key->label();
  }

  /// In the place of k and v.
  void pages(const LocatedInputs& found) {
    pool(*found.k_pages, d_);
    if (found.v_pages) pool(*found.v_pages, d_v_);
    const std::int64_t pages = found.k_pages->tensor.shape[0];
    if (found.v_pages && found.v_pages->tensor.shape[0] != pages)
      throw UsageError(fmt::format("{} has {} pages, but {} has {}", found.k_pages->label(), pages,
                                   found.v_pages->label(), found.v_pages->tensor.shape[0]));
    problem_.own_pool_pages = pages;
    const std::vector<std::int64_t> keys = load_kv_lens(*found.kv_lens);
    if (problem_.shape.sequences != nullptr) return same_lengths(*found.kv_lens, keys);
    claim(b_, static_cast<std::int64_t>(keys.size()), *found.kv_lens);
    for (std::size_t i = 0; i < keys.size(); ++i)
      if (keys[i] != keys[0])
        throw UsageError(fmt::format(
            "{} holds {} at [0] and {} at [{}]; where lengths differ, q must be [len of all "
            "sequences, h, d] and {} say where each begins",
            found.kv_lens->label(), keys[0], keys[i], i, quote(kFirstQueryName)));
    claim(kv_len_, keys[0], *found.kv_lens);
  }

  void q(const Located& at) {
    claim_dtype(at);
    all_axes(at, h_, q_len_, problem_.shape.queries(), d_);
  }
  void k(const Located& at) {
    claim_kv_dtype(at);
    all_axes(at, h_kv_, kv_len_, problem_.shape.keys(), d_);
  }
  void v(const Located& at) {
    claim_kv_dtype(at);
    all_axes(at, h_kv_, kv_len_, problem_.shape.keys(), d_v_);
  }
  /// As wide as V, which is as wide as Q where nothing says otherwise.
  void d_o(const Located& at) {
    const bool v_is_known = d_v_.given || !d_v_.decided_by.empty();
    claim_dtype(at);
    all_axes(at, h_, q_len_, problem_.shape.queries(), v_is_known ? d_v_ : d_);
  }

  void mask(const Located& at) {
    const std::vector<std::int64_t>& shape = at.tensor.shape;
    if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0)
      throw UsageError(fmt::format("{} has shape {}; a mask must be [b, kv_len]", at.label(),
                                   shape_text(shape)));
    claim(b_, shape[0], at);
    claim(kv_len_, shape[1], at);
  }

  void sinks(const Located& at) {
    const std::vector<std::int64_t>& shape = at.tensor.shape;
    if (shape.size() != 1 || shape[0] == 0)
      throw UsageError(
          fmt::format("{} has shape {}; sinks must be [h]", at.label(), shape_text(shape)));
    claim(h_, shape[0], at);
  }

  void alibi(const Located& at) {
    const std::vector<std::int64_t>& shape = at.tensor.shape;
    if (shape.empty() || shape.size() > 2 || shape.front() == 0 || shape.back() == 0)
      throw UsageError(fmt::format("{} has shape {}; slopes must be [h] or [b, h]", at.label(),
                                   shape_text(shape)));
    if (shape.size() == 2) claim(b_, shape.front(), at);
    claim(h_, shape.back(), at);
  }

  /// An axis of 1 is one that all batch elements, or heads, share.
  void bias(const Located& at) {
    const std::vector<std::int64_t>& shape = at.tensor.shape;
    if (shape.size() != 4 || std::count(shape.begin(), shape.end(), 0) > 0)
      throw UsageError(
          fmt::format("{} has shape {}; a bias must be [b or 1, h or 1, q_len, kv_len], whatever "
                      "--layout says",
                      at.label(), shape_text(shape)));
    const bool of_batch = shape[0] != 1, of_head = shape[1] != 1;
    if (of_batch) claim(b_, shape[0], at);
    if (of_head) claim(h_, shape[1], at);
    claim(q_len_, shape[2], at);
    claim(kv_len_, shape[3], at);
    problem_.bias_shape = of_batch  ? of_head ? BiasShape::kBatchAndHead : BiasShape::kBatch
                          : of_head ? BiasShape::kHead
                                    : BiasShape::kShared;
  }
  /// When the other tensors have said what the dtype is.
  void bias_dtype(const Located& at) {
    const std::optional<Dtype> dtype = dtype_of(at.tensor.element);
    if (dtype != Dtype::kF32 && dtype != problem_.dtype)
      throw UsageError(fmt::format(
          "{} holds {}; a bias must be {}", at.label(), at.tensor.dtype_text,
          problem_.dtype == Dtype::kF32 ? "F32, as the other tensors are"
                                        : fmt::format("F32 or, as the other tensors are, {}",
                                                      row_of(problem_.dtype).safetensors)));
    problem_.own_bias_dtype.reset();
    if (dtype != problem_.dtype) problem_.own_bias_dtype = dtype;
  }

  /// Of K or V.
  void descales(const Located& at) {
    const std::vector<std::int64_t>& shape = at.tensor.shape;
    if (shape.empty() || shape.size() > 2 || shape.front() == 0 || shape.back() == 0)
      throw UsageError(fmt::format("{} has shape {}; descales must be [h_kv] or [b or 1, h_kv]",
                                   at.label(), shape_text(shape)));
    if (shape.size() == 2 && shape.front() != 1) claim(b_, shape.front(), at);
    claim(h_kv_, shape.back(), at);
  }

  /// The flags' own defaults, for what is still open.
  void finish() {
    if (open(h_kv_) && !open(h_)) *h_kv_.value = *h_.value;
    const bool one_length = problem_.shape.sequences == nullptr;
    if (one_length && open(kv_len_) && !open(q_len_)) *kv_len_.value = *q_len_.value;
    if (d_v_.decided_by.empty()) return;
    problem_.shape.own_d_v.reset();
    if (own_d_v_ != problem_.shape.d) problem_.shape.own_d_v = own_d_v_;
  }

 private:
  static bool open(const Axis& axis) { return !axis.given && axis.decided_by.empty(); }

  /// `rows`: of all sequences, where there are some.
  void all_axes(const Located& at, Axis& heads, Axis& length, std::int64_t rows, Axis& width) {
    if (problem_.shape.sequences != nullptr) return packed_axes(at, heads, rows, width);
    const Dims dims = extents(at, problem_.files.layout);
    claim(b_, dims.b, at);
    claim(heads, dims.h, at);
    claim(length, dims.rows, at);
    claim(width, dims.d, at);
  }

  /// kv_lens beside the lengths of a ragged batch, which are known.
  void same_lengths(const Located& at, const std::vector<std::int64_t>& keys) const {
    const Shape& s = problem_.shape;
    if (static_cast<std::int64_t>(keys.size()) != s.b)
      throw UsageError(fmt::format("{} is of {} sequences, but {} is of {}", at.label(),
                                   keys.size(), kv_len_.decided_by, s.b));
    for (std::int64_t i = 0; i < s.b; ++i)
      if (keys[static_cast<std::size_t>(i)] != s.kv_len_of(i))
        throw UsageError(fmt::format("{} holds {} at [{}], but by {} that sequence has {} keys",
                                     at.label(), keys[static_cast<std::size_t>(i)], i,
                                     kv_len_.decided_by, s.kv_len_of(i)));
  }

  void pool(const Located& at, Axis& width) {
    const Dims dims = pool_extents(at);
    claim_kv_dtype(at);
    claim(page_size_, dims.rows, at);
    claim(h_kv_, dims.h, at);
    claim(width, dims.d, at);
  }

  void packed_axes(const Located& at, Axis& heads, std::int64_t rows, Axis& width) {
    const Dims dims = packed_extents(at);
    if (dims.rows != rows)
      throw UsageError(fmt::format(
          "{} has shape {}, but the sequences have {} rows together{}", at.label(),
          shape_text(at.tensor.shape), rows,
          &heads == &h_kv_ && keys_follow_queries_
              ? fmt::format("; without {} each has as many keys as queries", quote(kFirstKeyName))
              : ""));
    claim(heads, dims.h, at);
    claim(width, dims.d, at);
  }

  void claim(Axis& axis, std::int64_t value, const Located& at) {
    const auto says = [&] {
      return fmt::format("{} has shape {}, so {} is {}", at.label(), shape_text(at.tensor.shape),
                         axis.flag, value);
    };
    if (axis.given && *axis.value != value)
      throw UsageError(fmt::format("--{} {} contradicts the file: {}; leave the flag out",
                                   axis.flag, *axis.value, says()));
    if (!axis.decided_by.empty() && *axis.value != value)
      throw UsageError(
          fmt::format("{}, but {} has {} {}", says(), axis.decided_by, axis.flag, *axis.value));
    *axis.value = value;
    if (axis.decided_by.empty()) axis.decided_by = at.label();
  }

  /// Of K and V, which may be stored in 8 bits: then they leave the dtype to Q.
  void claim_kv_dtype(const Located& at) {
    const std::optional<Dtype> dtype = dtype_of(at.tensor.element);
    if (!dtype) return;  // extents() says why not
    const bool stored = is_only_stored(*dtype);
    if (kv_dtype_given_ && problem_.has_descales() != stored)
      throw contradiction("kv_dtype", problem_.kv_dtype(), at);
    const bool either = stored || is_only_stored(kv_dtype_);
    if (either && !kv_dtype_decided_by_.empty() && kv_dtype_ != *dtype)
      throw UsageError(fmt::format("{} holds {}, but {} holds {}; K and V must have one dtype",
                                   at.label(), at.tensor.dtype_text, kv_dtype_decided_by_,
                                   row_of(kv_dtype_).safetensors));
    if (kv_dtype_decided_by_.empty()) kv_dtype_decided_by_ = at.label();
    kv_dtype_ = *dtype;
    if (!stored) return claim_dtype(at);
    if (kv_dtype_given_ && problem_.kv_dtype() != *dtype)
      throw contradiction("kv_dtype", problem_.kv_dtype(), at);
    problem_.own_kv_dtype = *dtype;
  }

  static UsageError contradiction(std::string_view flag, Dtype said, const Located& at) {
    return UsageError(fmt::format("--{} {} contradicts the file: {} holds {}; leave the flag out",
                                  flag, name(said), at.label(), at.tensor.dtype_text));
  }

  void claim_dtype(const Located& at) {
    if (!dtype_of(at.tensor.element)) return;  // extents() says why not
    const Dtype dtype = *dtype_of(at.tensor.element);
    if (is_only_stored(dtype))
      throw UsageError(
          fmt::format("{} holds {}, which only K and V may; it must be one of f32, "
                      "bf16, f16",
                      at.label(), at.tensor.dtype_text));
    if (dtype_given_ && problem_.dtype != dtype) throw contradiction("dtype", problem_.dtype, at);
    if (!dtype_decided_by_.empty() && problem_.dtype != dtype)
      throw UsageError(fmt::format("{} holds {}, but {} holds {}; all tensors must have one dtype",
                                   at.label(), at.tensor.dtype_text, dtype_decided_by_,
                                   name(problem_.dtype)));
    problem_.dtype = dtype;
    if (dtype_decided_by_.empty()) dtype_decided_by_ = at.label();
  }

  Problem& problem_;
  bool dtype_given_, kv_dtype_given_;
  bool keys_follow_queries_ = false;  ///< of a ragged batch
  std::string dtype_decided_by_, kv_dtype_decided_by_;
  Dtype kv_dtype_ = Dtype::kF32;  ///< what the first of K and V is of
  Axis b_, h_, h_kv_, q_len_, kv_len_, d_, page_size_;
  std::int64_t own_d_v_;  ///< what d_v_ is of
  Axis d_v_;
};

/// What a bundle holds is used unless a flag says otherwise.
void take_extras(Problem& p, const Given& given, OpenFiles& open) {
  const BundleExtras extras = bundle_extras(p.files, given, open);
  if (!has(given, "ragged") && extras.ragged) p.ragged = Ragged::kFile;
  if (!has(given, "mask") && extras.mask) p.padding = PaddingMask::kFile;
  if (!has(given, "alibi") && extras.alibi) p.alibi = Alibi::kFile;
  if (!has(given, "sinks") && extras.sinks) p.sinks = Sinks::kFile;
  if (!has(given, "bias") && extras.bias) p.bias = Bias::kFile;
  if (p.bias_grad && p.bias == Bias::kNone)
    throw UsageError(
        fmt::format("--bias_grad needs a bias; give --bias, or an --input that holds {}",
                    quote(p.files.bias_name)));
  if (!has(given, "do") && extras.d_o && p.needs_gradients()) p.d_o = GradSource::kFile;
}

/// What has none, of the problem or of its files.
std::string_view without_gradients(const Problem& p) {
  return p.v_in_k ? "V in K" : "K and V in pages or of 8 bits";
}

bool holds_8_bits(const std::optional<Located>& at) {
  return at && dtype_of(at->tensor.element) && is_only_stored(*dtype_of(at->tensor.element));
}

/// Gradients that nobody asked for are left out where there are none.
void leave_out_impossible_gradients(Problem& p, const Given& given, LocatedInputs& found) {
  if (has(given, "pass") || !p.needs_gradients()) return;
  if (can_have_gradients(p) && !found.k_pages && !holds_8_bits(found.k) && !holds_8_bits(found.v))
    return;
  for (const auto& [flag, asked] :
       {std::pair("do", has(given, "do")), std::pair("bias_grad", p.bias_grad)})
    if (asked)
      throw UsageError(
          fmt::format("--{} is for gradients, of which there are none with {}; leave it out", flag,
                      without_gradients(p)));
  p.pass = Pass::kForward;
  p.d_o = Problem{}.d_o;
  found.d_o.reset();
}

/// Of the file that says most.
void refuse_invalid(const Problem& p) {
  const std::string& bundle = p.files.bundle.empty() ? p.files.q : p.files.bundle;
  const std::string& file = bundle.empty() ? p.files.ragged : bundle;
  if (p.needs_gradients() && !can_have_gradients(p) && !bundle.empty())
    throw UsageError(
        fmt::format("{}: with {} there is a forward pass alone, not --pass {}; use forward",
                    escape(file), without_gradients(p), name(p.pass)));
  if (const std::optional<Rejection> bad = invalid(p); bad && !file.empty())
    throw UsageError(bundle.empty() || p.shape.sequences != nullptr
                         ? fmt::format("{}: {}", escape(file), bad->reason)
                         : fmt::format("{}: {} (axes read as --layout {})", escape(file),
                                       bad->reason, name(p.files.layout)));
}

}  // namespace

Problem resolve_as_laid_out(Problem p, const Given& given, OpenFiles& open) {
  check_combination(p);
  take_extras(p, given, open);
  LocatedInputs found = locate(p, open);
  leave_out_impossible_gradients(p, given, found);
  Claims claims(p, given);
  if (p.shape.sequences != nullptr) claims.lengths_are_known("--ragged");
  if (found.first_query) claims.sequences(found);
  if (found.q) claims.q(*found.q);
  if (found.k_pages) claims.pages(found);
  if (found.k) claims.k(*found.k);
  if (found.v) claims.v(*found.v);
  if (found.d_o) claims.d_o(*found.d_o);
  if (found.mask) claims.mask(*found.mask);
  if (found.sinks) claims.sinks(*found.sinks);
  if (found.alibi) claims.alibi(*found.alibi);
  if (found.bias) claims.bias(*found.bias), claims.bias_dtype(*found.bias);
  if (found.k_scale) claims.descales(*found.k_scale);
  if (found.v_scale) claims.descales(*found.v_scale);
  claims.finish();
  if (found.block_table) check_block_table(p, found);
  refuse_invalid(p);
  return p;
}

}  // namespace flashbench::data
