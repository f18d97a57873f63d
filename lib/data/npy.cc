#include "data/npy.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

constexpr std::size_t kMostHeaderBytes = std::size_t{1} << 20;  // NumPy itself stops at 10000
constexpr std::size_t kMostAxes = 64;                           // as NumPy

[[noreturn]] void refuse(const InputFile& file, const std::string& why) {
  throw UsageError(fmt::format("{}: {}", escape(file.path()), why));
}

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

/// Reads the header's Python literal: a dictionary of a string, a bool and a tuple of integers.
class HeaderParser {
 public:
  HeaderParser(const InputFile& file, std::string_view text) : file_(file), text_(text) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr")
        set(header.descr, key, descr());
      else if (key == "fortran_order")
        set(header.fortran_order, key, boolean());
      else if (key == "shape")
        set(header.shape, key, tuple());
      else
        refuse(file_, fmt::format("the header has an unknown key {}", quote(key)));
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (at_ != text_.size()) malformed("the end of the header");
    return header;
  }

 private:
  template <typename T>
  void set(std::optional<T>& field, const std::string& key, T value) {
    if (field) refuse(file_, fmt::format("the header names {} twice", quote(key)));
    field = std::move(value);
  }

  [[noreturn]] void malformed(std::string_view wanted) const {
    refuse(file_, fmt::format("the header is malformed at its byte {}: expected {}", at_, wanted));
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) malformed(fmt::format("'{}'", c));
  }
  bool accept(std::string_view word) {
    skip_space();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  std::string string() {
    const char mark = accept('\'') ? '\'' : accept('"') ? '"' : '\0';
    if (mark == '\0') malformed("a string");
    const std::size_t end = text_.find(mark, at_);
    if (end == std::string_view::npos) malformed("the end of a string");
    const std::string_view inside = text_.substr(at_, end - at_);
    at_ = end + 1;
    return std::string(inside);
  }
  std::string descr() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '[')
      refuse(file_, "holds records (a structured dtype); save one plain array");
    return string();
  }
  bool boolean() {
    if (accept(std::string_view("True"))) return true;
    if (accept(std::string_view("False"))) return false;
    malformed("True or False");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> items;
    expect('(');
    while (!accept(')')) {
      if (items.size() == kMostAxes)
        refuse(file_, fmt::format("the shape has more than {} axes", kMostAxes));
      items.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return items;
  }
  std::int64_t integer() {
    skip_space();
    const std::size_t end = text_.find_first_not_of("-+0123456789.eE", at_);
    const std::string_view word = text_.substr(at_, end - at_);
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || stop != word.data() + word.size() || value < 0)
      refuse(file_, fmt::format("the shape holds {}, which is no size from 0 to 2^63 - 1",
                                quote(word.empty() ? text_.substr(at_, 8) : word, 40)));
    at_ += word.size();
    return value;
  }

  const InputFile& file_;
  std::string_view text_;
  std::size_t at_ = 0;
};

struct Preamble {
  std::uint64_t header_offset, header_bytes;
};

Preamble read_preamble(const InputFile& file) {
  // Magic, major, minor, then the header's length in 2 bytes (version 1) or 4 (2 and 3).
  std::array<std::byte, 12> bytes{};
  if (file.size() == 0) refuse(file, "is empty (0 bytes)");
  if (file.size() < bytes.size())
    refuse(file, fmt::format("has only {} bytes; no .npy header fits", file.size()));
  file.read(0, bytes);
  if (std::memcmp(bytes.data(), kNpyMagic.data(), kNpyMagic.size()) != 0)
    refuse(file, "is no .npy file: it does not start with \\x93NUMPY");
  const auto byte = [&](std::size_t i) { return static_cast<std::uint64_t>(bytes[i]); };
  const std::uint64_t major = byte(6), minor = byte(7);
  if (major < 1 || major > 3 || minor != 0)
    refuse(file, fmt::format("is of .npy version {}.{}; 1.0, 2.0 and 3.0 are read", major, minor));
  const Preamble preamble =
      major == 1 ? Preamble{10, byte(8) | byte(9) << 8}
                 : Preamble{12, byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24};
  if (preamble.header_bytes > kMostHeaderBytes)
    refuse(file, fmt::format("claims a header of {} bytes; at most {} are read",
                             preamble.header_bytes, kMostHeaderBytes));
  if (preamble.header_offset + preamble.header_bytes > file.size())
    refuse(file, fmt::format("claims a header of {} bytes, but only {} follow; it is truncated",
                             preamble.header_bytes, file.size() - preamble.header_offset));
  return preamble;
}

/// Of a dtype or of a mask.
std::optional<Element> element(std::string_view descr) {
  for (const DtypeRow& row : kDtypeTable)
    if (!row.npy.empty() && row.npy == descr) return row.dtype;
  for (const MaskElement& mask : kMaskElements)
    if (mask.npy == descr) return mask.element;
  return std::nullopt;
}

std::string quoted_dtypes() {
  std::string text;
  for (const DtypeRow& row : kDtypeTable)
    if (!row.npy.empty()) text += fmt::format("{}'{}'", text.empty() ? "" : " and ", row.npy);
  return text;
}

[[noreturn]] void refuse_descr(const InputFile& file, const std::string& descr) {
  const std::string what = fmt::format("holds dtype {}", quote(descr));
  const std::string little =
      fmt::format("<{}", std::string_view(descr).substr(descr.empty() ? 0 : 1));
  if (descr.starts_with('>') && element(little))
    refuse(file, fmt::format("{}, which is big-endian; save array.astype('{}')", what, little));
  if (descr == "<V2" || descr == "|V2")
    refuse(file, what + ": .npy has no bf16; use .safetensors for it");
  refuse(file,
         fmt::format("{}; {} are read, and '|u1' and '|b1' for masks", what, quoted_dtypes()));
}

}  // namespace

TensorFile open_npy(std::shared_ptr<const InputFile> file) {
  const Preamble preamble = read_preamble(*file);
  std::string text(preamble.header_bytes, '\0');
  file->read(preamble.header_offset, std::as_writable_bytes(std::span(text)));
  const Header header = HeaderParser(*file, text).parse();
  if (!header.descr) refuse(*file, "the header lacks 'descr'");
  if (!header.fortran_order) refuse(*file, "the header lacks 'fortran_order'");
  if (!header.shape) refuse(*file, "the header lacks 'shape'");
  const std::optional<Element> kind = element(*header.descr);
  if (!kind) refuse_descr(*file, *header.descr);
  if (*header.fortran_order)
    refuse(*file, "is in Fortran order; save numpy.ascontiguousarray(array)");

  const std::uint64_t data = preamble.header_offset + preamble.header_bytes;
  const std::uint64_t have = file->size() - data;
  std::uint64_t need = element_bytes(*kind);
  for (const std::int64_t size : *header.shape)
    if (__builtin_mul_overflow(need, static_cast<std::uint64_t>(size), &need))
      refuse(*file, fmt::format("shape {} overflows 64 bits", shape_text(*header.shape)));
  if (need != have)
    refuse(*file, fmt::format("shape {} of {} needs {} bytes of data, but {} follow the header{}",
                              shape_text(*header.shape), *header.descr, need, have,
                              have < need ? "; it is truncated" : ""));
  return TensorFile(std::move(file), {{"", *header.descr, *kind, *header.shape, data, need}});
}

}  // namespace flashbench::data
