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
  std::optional<Located> first_query, first_key;  ///< of a ragged batch: its cu_seqlens
  /// In the place of k and v: a pool and what says where they lie in it.
  std::optional<Located> k_pages, v_pages, block_table, kv_lens;
  std::optional<Located> k_scale, v_scale;  ///< where K and V are stored in 8 bits
};

/// What the ends of sequences are called in a file.
inline constexpr const char *kFirstQueryName = "cu_seqlens_q", *kFirstKeyName = "cu_seqlens_k";

/// The names of descales, in the file that holds K, or V.
inline constexpr const char* kKScaleName = "k_scale";
inline constexpr const char* kVScaleName = "v_scale";

/// What a pool, its table and the numbers of keys are called in a bundle that has no k.
inline constexpr const char *kKPagesName = "k_pages", *kVPagesName = "v_pages",
                            *kBlockTableName = "block_table", *kKvLensName = "kv_lens";

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

/// The bundle's own `mask`, `do`, `sinks`, `alibi_slopes`, `bias` and cu_seqlens where it has them.
/// A name other than the default one, or that a flag gave (`given`: all of them), was asked for, so
/// it must be there.
struct BundleExtras {
  bool mask = false, d_o = false, sinks = false, alibi = false, bias = false, ragged = false;
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

}  // namespace flashbench::data
