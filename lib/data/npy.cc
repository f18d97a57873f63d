#include "data/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "data/other_formats.h"
#include "system/error.h"
#include "system/quote.h"

namespace flashbench::data {
namespace {

constexpr std::size_t kMostHeaderBytes = std::size_t{1} << 20;  // NumPy itself stops at 10000
constexpr std::size_t kMostAxes = 64;                           // as NumPy
constexpr std::uint64_t kLastOfPython2 = 2;  // versions up to this may hold sizes like 3L

[[noreturn]] void refuse(const InputFile& file, const std::string& why) {
  throw UsageError(fmt::format("{}: {}", escape(file.path()), why));
}

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

/// Reads the header's Python literal: a dictionary of a string, a bool and a tuple of integers,
/// with the spaces, commas and order of keys that Python allows.
class HeaderParser {
 public:
  HeaderParser(const InputFile& file, std::string_view text, std::uint64_t version)
      : file_(file), text_(text), version_(version) {}

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
  void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\r\n\f", at_), text_.size()); }
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
    skip_space();
    if (at_ < text_.size() && std::string_view("uUrR").find(text_[at_]) != std::string_view::npos)
      ++at_;  // u'...' is how Python 2 writes text
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
      items.push_back(size());
      if (!accept(',')) {
        if (items.size() == 1) malformed("','");  // (3) is a number, (3,) a tuple
        expect(')');
        break;
      }
    }
    return items;
  }
  std::int64_t size() {
    skip_space();
    const std::size_t begin = at_;
    at_ = std::min(text_.find_first_of(", \t\r\n\f)L", at_), text_.size());
    const std::string_view word = text_.substr(begin, at_ - begin);
    const std::optional<std::int64_t> value = whole(word);
    if (!value)
      refuse(file_, fmt::format("the shape holds {}, which is no size from 0 to 2^63 - 1",
                                quote(word.empty() ? text_.substr(begin, 1) : word, 40)));
    if (version_ <= kLastOfPython2) accept('L');
    return *value;
  }
  /// A Python integer in base 10; 010 is none (and was 8 in Python 2).
  static std::optional<std::int64_t> whole(std::string_view word) {
    if (word.starts_with('+')) word.remove_prefix(1);
    if (word.empty() || word.front() == '-') return std::nullopt;
    if (word.front() == '0' && word.find_first_not_of('0') != std::string_view::npos)
      return std::nullopt;
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || stop != word.data() + word.size()) return std::nullopt;
    return value;
  }

  const InputFile& file_;
  std::string_view text_;
  std::uint64_t version_;
  std::size_t at_ = 0;
};

struct Preamble {
  std::uint64_t version, header_offset, header_bytes;
};

Preamble read_preamble(const InputFile& file) {
  // Magic, major, minor, then the header's length in 2 bytes (version 1) or 4 (2 and 3).
  std::array<std::byte, 12> bytes{};
  if (file.size() == 0) refuse(file, "is empty (0 bytes)");
  if (file.size() < bytes.size())
    refuse(file, fmt::format("has only {} bytes; no .npy header fits", file.size()));
  file.read(0, bytes);
  if (std::memcmp(bytes.data(), kNpyMagic.data(), kNpyMagic.size()) != 0)
    refuse(file, other_format(file).value_or("is no .npy file: it does not start with \\x93NUMPY"));
  const auto byte = [&](std::size_t i) { return static_cast<std::uint64_t>(bytes[i]); };
  const std::uint64_t major = byte(6), minor = byte(7);
  if (major < 1 || major > 3 || minor != 0)
    refuse(file, fmt::format("is of .npy version {}.{}; 1.0, 2.0 and 3.0 are read", major, minor));
  const Preamble preamble =
      major == 1 ? Preamble{major, 10, byte(8) | byte(9) << 8}
                 : Preamble{major, 12, byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24};
  if (preamble.header_bytes > kMostHeaderBytes)
    refuse(file, fmt::format("claims a header of {} bytes; at most {} are read",
                             preamble.header_bytes, kMostHeaderBytes));
  if (preamble.header_offset + preamble.header_bytes > file.size())
    refuse(file, fmt::format("claims a header of {} bytes, but only {} follow; it is truncated",
                             preamble.header_bytes, file.size() - preamble.header_offset));
  return preamble;
}

/// Other names that numpy.dtype() takes for what files call f4, f2, u1 and b1.
struct OtherName {
  std::string_view name, descr;
};
constexpr OtherName kOtherNames[] = {
    {"f", "f4"},     {"single", "f4"},  {"float32", "f4"}, {"e", "f2"},
    {"half", "f2"},  {"float16", "f2"}, {"B", "u1"},       {"ubyte", "u1"},
    {"uint8", "u1"}, {"?", "b1"},       {"bool", "b1"},    {"bool_", "b1"},
};

/// Of a dtype or of a mask. Little-endian and native are the same here: '<f4', '=f4', '|f4' and
/// 'f4' are one type.
std::optional<Element> element(std::string_view descr) {
  static_assert(std::endian::native == std::endian::little);
  const bool marked = !descr.empty() && std::string_view("<=|>").find(descr[0]) != descr.npos;
  const bool big_endian = marked && descr[0] == '>';
  if (marked) descr.remove_prefix(1);
  const std::string_view given = descr;
  for (const OtherName& other : kOtherNames)
    if (given == other.name && (!marked || given.size() == 1)) descr = other.descr;
  for (const DtypeRow& row : kDtypeTable)
    if (!row.npy.empty() && row.npy.substr(1) == descr && !big_endian) return row.dtype;
  for (const OtherElementRow& other : kOtherElements)  // of masks: one byte has no order
    if (is_mask(other.element) && other.npy.substr(1) == descr) return other.element;
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

/// Whether C and Fortran order are one: no more than one axis is longer than 1, or one is empty.
bool orders_agree(const std::vector<std::int64_t>& shape) {
  return std::count_if(shape.begin(), shape.end(), [](auto n) { return n > 1; }) <= 1 ||
         std::count(shape.begin(), shape.end(), 0) > 0;
}

}  // namespace

TensorFile open_npy(std::shared_ptr<const InputFile> file) {
  const Preamble preamble = read_preamble(*file);
  std::string text(preamble.header_bytes, '\0');
  file->read(preamble.header_offset, std::as_writable_bytes(std::span(text)));
  const Header header = HeaderParser(*file, text, preamble.version).parse();
  if (!header.descr) refuse(*file, "the header lacks 'descr'");
  if (!header.fortran_order) refuse(*file, "the header lacks 'fortran_order'");
  if (!header.shape) refuse(*file, "the header lacks 'shape'");
  const std::optional<Element> kind = element(*header.descr);
  if (!kind) refuse_descr(*file, *header.descr);
  if (*header.fortran_order && !orders_agree(*header.shape))
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
