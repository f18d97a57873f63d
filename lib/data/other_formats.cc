#include "data/other_formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string_view>

#include "data/npy.h"
#include "system/quote.h"
#include "system/strict_json.h"

namespace flashbench::data {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMostIndexBytes = 100'000'000;

/// As much of [offset, offset + bytes) as the file has.
std::string read_some(const InputFile& file, std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t left = file.size() - std::min(offset, file.size());
  std::string text(static_cast<std::size_t>(std::min(bytes, left)), '\0');
  file.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

/// The name of a ZIP archive's first member. Source: PKWARE's APPNOTE.TXT, 4.3.7.
std::string first_member(const InputFile& file, std::string_view local_header) {
  if (local_header.size() < 30) return "";
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(local_header[i]); };
  return read_some(file, 30, byte(26) | static_cast<std::uint64_t>(byte(27)) << 8);
}

std::string zip_archive(const InputFile& file) {
  const std::string member = first_member(file, read_some(file, 0, 30));
  if (member.ends_with("data.pkl"))
    return "is a PyTorch file, which may run code when it is read; save its tensors with "
           "safetensors.torch.save_file";
  if (member.ends_with(".npy") || file.path().ends_with(".npz"))
    return "is a .npz archive; save each array with numpy.save and give the .npy files to --q, --k "
           "and --v, or save all of them with safetensors.numpy.save_file";
  return "is a ZIP archive; unpack it and give the .safetensors or .npy files in it";
}

/// Of the index of a checkpoint in several files: what its map of tensors to files names.
std::set<std::string> shards(const json& index) {
  std::set<std::string> files;
  if (!index.is_object() || !index.contains("weight_map")) return files;
  for (const auto& [tensor, file] : index["weight_map"].items())
    if (file.is_string()) files.insert(file.get<std::string>());
  return files;
}

std::string json_text(const InputFile& file) {
  std::set<std::string> files;
  if (file.size() <= kMostIndexBytes) {
    try {
      files = shards(parse_strict_json(read_some(file, 0, file.size())));
    } catch (const std::runtime_error&) {  // no JSON after all, or too much of it
    }
  }
  if (files.empty()) return "is JSON text and holds no tensors; give a .safetensors or .npy file";
  constexpr std::size_t kShown = 3;
  std::string names;
  std::size_t shown = 0;
  for (auto it = files.begin(); it != files.end() && shown < kShown; ++it, ++shown)
    names += (shown == 0 ? "" : ", ") + quote(*it, 60);
  if (files.size() > kShown) names += fmt::format(" and {} more", files.size() - kShown);
  return fmt::format(
      "is the index of a sharded checkpoint and holds no tensors; give the shard with q, k and v "
      "to --input, or one each to --q, --k and --v: {}",
      names);
}

bool is_json(std::string_view first) {
  const std::size_t at = first.find_first_not_of(" \t\r\n");
  return at != std::string_view::npos && first[at] == '{' &&
         std::all_of(first.begin(), first.end(),
                     [](char c) { return c >= ' ' || c == '\t' || c == '\r' || c == '\n'; });
}

/// Of protocol 2 to 5; PyTorch before 1.6 wrote them.
bool is_pickle(std::string_view first) {
  return first.size() > 1 && first[0] == '\x80' && first[1] >= 2 && first[1] <= 5;
}

struct Signature {
  std::string_view first;
  std::string_view is;
};

constexpr Signature kSignatures[] = {
    {kNpyMagic,
     "is a .npy array, and a .safetensors file is needed here; save it with "
     "safetensors.numpy.save_file"},
    {"GGUF", "is a GGUF model; save its tensors as .safetensors"},
    {"\x89HDF\r\n\x1a\n", "is an HDF5 file; save its tensors as .safetensors"},
    {"\x1f\x8b", "is compressed with gzip; unpack it"},
};

}  // namespace

std::optional<std::string> other_format(const InputFile& file) {
  const std::string first = read_some(file, 0, 8);
  if (first.starts_with("PK\x03\x04") || first.starts_with("PK\x05\x06")) return zip_archive(file);
  for (const Signature& s : kSignatures)
    if (first.starts_with(s.first)) return std::string(s.is);
  if (is_pickle(first))
    return "is a Python pickle, which may run code when it is read; save its tensors as "
           ".safetensors";
  if (is_json(first)) return json_text(file);
  return std::nullopt;
}

}  // namespace flashbench::data
