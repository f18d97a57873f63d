#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/element.h"

namespace flashbench::data {

/// A regular file, read by position: unlike a mapping, a file that shrinks meanwhile is an error
/// and not a crash. Throws UsageError where it cannot be opened or is no regular file.
class InputFile {
 public:
  explicit InputFile(std::string path);
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  /// Fills `to` from byte `offset` on. Throws UsageError where the file ends before.
  void read(std::uint64_t offset, std::span<std::byte> to) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// One tensor of a file; its place was checked against the file when that was opened.
struct StoredTensor {
  std::string name;        ///< empty in a .npy file
  std::string dtype_text;  ///< as the file spells it: "BF16", "<f4"
  Element element = OtherElement::kUnread;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  ///< of the first byte, from the start of the file
  std::uint64_t bytes = 0;
};

/// An opened tensor file whose header told the truth.
class TensorFile {
 public:
  TensorFile(std::shared_ptr<const InputFile> file, std::vector<StoredTensor> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}

  const std::string& path() const { return file_->path(); }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* find(std::string_view name) const;

  /// "qkv.safetensors: tensor 'q'", or "q.npy": how messages begin.
  std::string label(const StoredTensor& tensor) const;
  std::string names() const;  ///< names_text() of all, or that the one of a .npy has none

  /// Fills `to` from byte `offset` of the tensor's data on.
  void read(const StoredTensor& tensor, std::uint64_t offset, std::span<std::byte> to) const;

 private:
  std::shared_ptr<const InputFile> file_;
  std::vector<StoredTensor> tensors_;
};

/// Opens a .safetensors or .npy file; the first bytes tell which. Throws UsageError as
/// open_safetensors() and open_npy() do.
TensorFile open_tensor_file(const std::string& path);

/// "'q', 'k', 'v' and 9 more", for messages.
std::string names_text(std::span<const std::string_view> names);

/// "[1, 2, 3]"
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace flashbench::data
