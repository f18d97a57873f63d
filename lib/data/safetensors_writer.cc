#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "data/safetensors.h"
#include "system/atomic_file.h"

namespace flashbench::data {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kHeaderAlignment = 8;

std::string_view dtype_name(const Element& e) {
  if (const auto dtype = dtype_of(e)) return row_of(*dtype).safetensors;
  for (const OtherElementRow& other : kOtherElements)
    if (e == Element(other.element)) return other.safetensors;
  throw std::logic_error("a tensor of this type cannot be written");
}

std::uint64_t data_bytes(const TensorToWrite& t) {
  std::uint64_t bytes = element_bytes(t.element);
  for (const std::int64_t size : t.shape) bytes *= static_cast<std::uint64_t>(size);
  return bytes;
}

/// The length in 8 bytes and the JSON, padded with spaces so that the data is aligned.
std::string header_text(const std::vector<TensorToWrite>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const TensorToWrite& t : tensors) {
    if (header.contains(t.name)) throw std::logic_error("two tensors are named " + t.name);
    const std::uint64_t end = offset + data_bytes(t);
    header[t.name] = {
        {"dtype", dtype_name(t.element)}, {"shape", t.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  std::string length(8, '\0');
  for (std::size_t i = 0; i < length.size(); ++i)
    length[i] = static_cast<char>(static_cast<unsigned char>(text.size() >> (8 * i)));
  return length + text;
}

}  // namespace

void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorToWrite& a, const TensorToWrite& b) {
                     return element_bytes(a.element) > element_bytes(b.element);
                   });
  const std::string header = header_text(tensors, metadata);
  AtomicFile file(path);
  file.write(header);
  for (const TensorToWrite& t : tensors) {
    std::uint64_t written = 0;
    t.produce([&](std::span<const std::byte> bytes) {
      written += bytes.size();
      file.write(bytes);
    });
    if (written != data_bytes(t))
      throw std::logic_error(
          fmt::format("tensor {} gave {} bytes of {}", t.name, written, data_bytes(t)));
  }
  file.commit();
}

}  // namespace flashbench::data
