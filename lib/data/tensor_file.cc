#include "data/tensor_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "data/npy.h"
#include "data/safetensors.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw UsageError(fmt::format("{}: {}", escape(path), why));
}

std::string reason(int error) { return std::generic_category().message(error); }

void require_regular(const std::string& path, const struct stat& info) {
  if (S_ISREG(info.st_mode)) return;
  refuse(path, fmt::format("is {}; tensors are read from regular files",
                           S_ISDIR(info.st_mode)    ? "a folder"
                           : S_ISFIFO(info.st_mode) ? "a FIFO"
                                                    : "a device or socket"));
}

}  // namespace

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  struct stat info {};
  // Looked at first: merely opening a FIFO or a device can wake somebody at its other end.
  if (stat(path_.c_str(), &info) != 0) refuse(path_, "cannot be read: " + reason(errno));
  require_regular(path_, info);
  descriptor_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) refuse(path_, "cannot be read: " + reason(errno));
  if (fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor_);
    refuse(path_, "changed while it was opened");
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const ssize_t got = pread(descriptor_, to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path_, "cannot be read: " + reason(errno));
    if (got == 0)
      refuse(path_, fmt::format("ends at byte {} where {} more were expected", offset, to.size()));
    offset += static_cast<std::uint64_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
}

const StoredTensor* TensorFile::find(std::string_view name) const {
  const auto at = std::find_if(tensors_.begin(), tensors_.end(),
                               [&](const StoredTensor& t) { return t.name == name; });
  return at == tensors_.end() ? nullptr : &*at;
}

std::string TensorFile::label(const StoredTensor& tensor) const {
  if (tensor.name.empty() && tensors_.size() == 1) return escape(path());
  return fmt::format("{}: tensor {}", escape(path()), quote(tensor.name));
}

std::string TensorFile::names() const {
  if (tensors_.size() == 1 && tensors_[0].name.empty()) return "one tensor without a name";
  std::vector<std::string_view> names;
  for (const StoredTensor& t : tensors_) names.push_back(t.name);
  return names_text(names);
}

void TensorFile::read(const StoredTensor& tensor, std::uint64_t offset,
                      std::span<std::byte> to) const {
  file_->read(tensor.offset + offset, to);
}

TensorFile open_tensor_file(const std::string& path) {
  auto file = std::make_shared<const InputFile>(path);
  std::array<std::byte, kNpyMagic.size()> first{};
  if (file->size() >= first.size()) file->read(0, first);
  const bool is_npy =
      path.ends_with(".npy") || std::memcmp(first.data(), kNpyMagic.data(), first.size()) == 0;
  return is_npy ? open_npy(std::move(file)) : open_safetensors(std::move(file));
}

std::string names_text(std::span<const std::string_view> names) {
  constexpr std::size_t kShown = 8;
  if (names.empty()) return "no tensor";
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i)
    text += (i == 0 ? "" : ", ") + quote(names[i], 40);
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace flashbench::data
