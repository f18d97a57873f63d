#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "data/other_formats.h"
#include "data/safetensors.h"
#include "system/error.h"
#include "system/quote.h"
#include "system/strict_json.h"

namespace flashbench::data {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLengthBytes = 8;

struct StoredType {
  std::string_view name;
  unsigned bits;
  Element element = OtherElement::kUnread;
};

/// Others that may lie beside ours in a file dumped from a model.
constexpr StoredType kUnreadTypes[] = {
    {"F64", 64},    {"U64", 64},    {"C64", 64},    {"U32", 32},        {"I16", 16},
    {"U16", 16},    {"I8", 8},      {"F8_E8M0", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E4M3FNUZ", 8},
    {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
};

std::optional<StoredType> stored_type(std::string_view name) {
  for (const DtypeRow& row : kDtypeTable)
    if (row.safetensors == name)
      return StoredType{row.safetensors, static_cast<unsigned>(8 * row.bytes), row.dtype};
  for (const OtherElementRow& other : kOtherElements)
    if (other.safetensors == name)
      return StoredType{other.safetensors, static_cast<unsigned>(8 * other.bytes), other.element};
  for (const StoredType& type : kUnreadTypes)
    if (type.name == name) return type;
  return std::nullopt;
}

[[noreturn]] void refuse(const InputFile& file, const std::string& why) {
  throw UsageError(fmt::format("{}: {}", escape(file.path()), why));
}

bool begins_an_object(const InputFile& file) {
  std::array<std::byte, 1> first{};
  if (file.size() > kLengthBytes) file.read(kLengthBytes, first);
  return first[0] == std::byte{'{'};
}

std::string read_header(const InputFile& file) {
  if (file.size() == 0) refuse(file, "is empty (0 bytes); a .safetensors file has a header");
  if (file.size() < kLengthBytes)
    refuse(file, fmt::format("has only {} bytes; the header's length alone takes {}", file.size(),
                             kLengthBytes));
  std::array<std::byte, kLengthBytes> bytes;
  file.read(0, bytes);
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    length |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  if (length > kMostSafetensorsHeaderBytes || !begins_an_object(file))
    if (const auto other = other_format(file)) refuse(file, *other);
  if (length > kMostSafetensorsHeaderBytes)
    refuse(file, fmt::format("claims a header of {} bytes; at most {} are allowed; is this a "
                             ".safetensors file?",
                             length, kMostSafetensorsHeaderBytes));
  if (length > file.size() - kLengthBytes)
    refuse(file, fmt::format("claims a header of {} bytes, but only {} follow; it is truncated",
                             length, file.size() - kLengthBytes));
  std::string header(length, '\0');
  file.read(kLengthBytes, std::as_writable_bytes(std::span(header)));
  if (!header.starts_with('{')) refuse(file, "the header is no JSON object: it must start with {");
  return header;
}

/// Reads one tensor's entry of the header; each message names file, tensor and numbers.
class Entry {
 public:
  Entry(const InputFile& file, const std::string& name, const json& entry, std::uint64_t data_bytes)
      : file_(file), name_(name), entry_(entry), data_bytes_(data_bytes) {}

  /// `offset` of the result counts from the start of the data.
  StoredTensor parse() const {
    if (!entry_.is_object()) bad("its entry is no JSON object");
    const StoredType type = element_type();
    StoredTensor tensor{name_, std::string(type.name), type.element, shape(), 0, 0};
    const std::uint64_t need = bytes_needed(type, tensor.shape);
    const json& offsets = field("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2)
      bad("data_offsets must be two numbers, [begin, end]");
    const std::uint64_t begin = whole(offsets[0], "data_offsets");
    const std::uint64_t end = whole(offsets[1], "data_offsets");
    if (begin > end) bad(fmt::format("data_offsets [{}, {}] end before they begin", begin, end));
    if (end > data_bytes_)
      bad(
          fmt::format("data_offsets [{}, {}] are out of range: the file holds {} bytes of data; it "
                      "is truncated or its header lies",
                      begin, end, data_bytes_));
    if (end - begin != need)
      bad(fmt::format("data_offsets [{}, {}] span {} bytes, but shape {} of {} needs {}", begin,
                      end, end - begin, shape_text(tensor.shape), type.name, need));
    tensor.offset = begin;
    tensor.bytes = need;
    return tensor;
  }

 private:
  [[noreturn]] void bad(const std::string& why) const {
    refuse(file_, fmt::format("tensor {}: {}", quote(name_), why));
  }

  const json& field(const char* key) const {
    const auto at = entry_.find(key);
    if (at == entry_.end()) bad(fmt::format("its entry lacks '{}'", key));
    return *at;
  }

  std::uint64_t whole(const json& value, const char* key) const {
    constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMost)
      bad(fmt::format("{} holds {}, which is no whole number from 0 to 2^63 - 1", key,
                      quote(value.dump(-1, ' ', true, json::error_handler_t::replace), 40)));
    return value.get<std::uint64_t>();
  }

  StoredType element_type() const {
    const json& dtype = field("dtype");
    if (!dtype.is_string()) bad("dtype must be a string such as \"F32\"");
    const std::string& text = dtype.get_ref<const std::string&>();
    if (const auto type = stored_type(text)) return *type;
    bad(fmt::format("unknown dtype {}", quote(text)));
  }

  std::vector<std::int64_t> shape() const {
    const json& value = field("shape");
    if (!value.is_array()) bad("shape must be an array of sizes");
    std::vector<std::int64_t> sizes;
    for (const json& size : value) sizes.push_back(static_cast<std::int64_t>(whole(size, "shape")));
    return sizes;
  }

  std::uint64_t bytes_needed(const StoredType& type, const std::vector<std::int64_t>& sizes) const {
    std::uint64_t bits = 1;  // counts elements first: [2^62, 0] has none and overflows nothing
    bool overflows = false;
    for (const std::int64_t size : sizes)
      overflows |= __builtin_mul_overflow(bits, static_cast<std::uint64_t>(size), &bits);
    overflows |= __builtin_mul_overflow(bits, std::uint64_t{type.bits}, &bits);
    if (overflows)
      bad(fmt::format("shape {} of {} overflows 64 bits", shape_text(sizes), type.name));
    if (bits % 8 != 0)
      bad(fmt::format("shape {} of {} is no whole number of bytes", shape_text(sizes), type.name));
    return bits / 8;
  }

  const InputFile& file_;
  const std::string& name_;
  const json& entry_;
  std::uint64_t data_bytes_;
};

/// Tensors in the order of their data must fill it exactly.
void require_exact_cover(const InputFile& file, const std::vector<StoredTensor>& tensors,
                         std::uint64_t data_bytes) {
  std::uint64_t covered = 0;
  const StoredTensor* previous = nullptr;
  for (const StoredTensor& t : tensors) {
    const auto range = [](const StoredTensor& of) {
      return fmt::format("tensor {} (data_offsets [{}, {}])", quote(of.name), of.offset,
                         of.offset + of.bytes);
    };
    if (t.offset < covered) refuse(file, fmt::format("{} overlaps {}", range(t), range(*previous)));
    if (t.offset > covered)
      refuse(file, fmt::format("{} leaves a hole: bytes {} to {} belong to no tensor", range(t),
                               covered, t.offset));
    covered = t.offset + t.bytes;
    previous = &t;
  }
  if (covered != data_bytes)
    refuse(file, fmt::format("{} bytes of data follow the header, but its tensors end at {}",
                             data_bytes, covered));
}

/// An object of strings, or null: none (the reference implementation has it optional).
void check_metadata(const InputFile& file, const json& metadata) {
  if (metadata.is_null()) return;
  if (!metadata.is_object()) refuse(file, "__metadata__ must be an object of strings or null");
  for (const auto& [key, value] : metadata.items())
    if (!value.is_string())
      refuse(file, fmt::format("__metadata__ {} must be a string", quote(key)));
}

json parse_header(const InputFile& file, const std::string& text) {
  try {
    return parse_strict_json(text);
  } catch (const std::runtime_error& e) {
    refuse(file, fmt::format("the header {}", e.what()));
  }
}

}  // namespace

TensorFile open_safetensors(std::shared_ptr<const InputFile> file) {
  const std::string text = read_header(*file);
  const json header = parse_header(*file, text);
  const std::uint64_t data = kLengthBytes + text.size();
  const std::uint64_t data_bytes = file->size() - data;

  std::vector<StoredTensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__")
      check_metadata(*file, entry);
    else
      tensors.push_back(Entry(*file, name, entry, data_bytes).parse());
  }
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const StoredTensor& a, const StoredTensor& b) {
                     return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
                   });
  require_exact_cover(*file, tensors, data_bytes);
  for (StoredTensor& t : tensors) t.offset += data;
  return TensorFile(std::move(file), std::move(tensors));
}

}  // namespace flashbench::data
