#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/problem.h"
#include "core/tensor.h"
#include "data/tensor_file.h"

namespace flashbench::data {

/// A tensor found in a file.
struct Located {
  std::shared_ptr<const TensorFile> file;
  StoredTensor tensor;

  std::string label() const { return file->label(tensor); }
};

/// The tensors that a problem takes from files; absent ones are random, ones or nothing.
struct LocatedInputs {
  std::optional<Located> q, k, v, d_o, mask, sinks, alibi, bias;
  std::optional<Located> k_scale, v_scale;  ///< where K and V are stored in 8 bits
};

/// The names of descales, in the file that holds K, or V.
inline constexpr const char* kKScaleName = "k_scale";
inline constexpr const char* kVScaleName = "v_scale";

/// Opens each path once, however many ask for it: a header may hold 100 000 tensors.
class OpenFiles {
 public:
  /// Throws UsageError as open_tensor_file() does.
  std::shared_ptr<const TensorFile> open(const std::string& path);

 private:
  std::vector<std::shared_ptr<const TensorFile>> files_;
};

/// Throws UsageError unless the file options go together: a bundle, or q, k and v, or none.
void check_combination(const Problem& p);

/// The bundle's own `mask`, `do`, `sinks`, `alibi_slopes` and `bias` where it has them. A name
/// other than the default one, or that a flag gave (`given`: all of them), was asked for, so it
/// must be there.
struct BundleExtras {
  bool mask = false, d_o = false, sinks = false, alibi = false, bias = false;
};
BundleExtras bundle_extras(const InputFiles& files, const std::vector<std::string>& given,
                           OpenFiles& open);

/// Opens the files of a problem and finds its tensors. Throws UsageError.
LocatedInputs locate(const Problem& p, OpenFiles& open);

/// What the files of a problem hold that nothing reads, such as a block mask that attention with it
/// would obey: a line for each file, fit to be one of a result's warnings. Results (o, lse, dq,
/// ...) may lie beside the inputs. Throws UsageError for a broken file.
std::vector<std::string> unused_tensors(const Problem& p, OpenFiles& open);
/// The same of a file of results, which may hold the inputs too.
std::vector<std::string> unused_tensors(const std::string& results, const InputFiles& files);

/// Reads q, k, v or dO. Throws UsageError unless it has these extents and this dtype.
Tensor load_tensor(const Located& from, Dims dims, Dtype dtype, Layout layout);

/// Reads a padding mask [b, kv_len] of U8 or BOOL; anything but zero is a kept key and becomes 1.
std::vector<std::uint8_t> load_mask(const Located& from, std::int64_t b, std::int64_t kv_len);

/// Reads the sinks [h], of any dtype that attention reads. Throws UsageError for another shape, a
/// NaN or an infinity.
std::vector<float> load_sinks(const Located& from, std::int64_t h);
/// The same of the slopes of ALiBi, [h] or [b, h]; as [b, h]. What they take from a score must be
/// finite in f32 at every distance.
std::vector<float> load_alibi(const Located& from, const Shape& s);

/// The same of a bias of p.bias_dims() and p.bias_dtype(). Values are not looked at: what they may
/// be depends on who sees whom.
Tensor load_bias(const Located& from, const Problem& p);

/// Reads the descales of K or V, [b, h_kv], [1, h_kv] or [h_kv]; as [b, h_kv]. They must be
/// positive, and times the largest number of K's dtype they must fit f32, as must those of K times
/// --scale.
std::vector<float> load_descales(const Located& from, const Problem& p);

/// The [b, h, row, d] extents of a stored q, k, v, dO. Throws UsageError unless it has four axes,
/// none empty, and a dtype that attention reads.
Dims extents(const Located& at, Layout layout);

}  // namespace flashbench::data
