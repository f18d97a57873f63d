#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/data/scratch.h"

// Safetensors files that must not be read, and the pieces that they are made of.
namespace flashbench::data {

inline std::string repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

/// {"q": {...}} with these three fields.
inline std::string entry(const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
  return R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}
inline std::string only_q(const std::string& dtype, const std::string& shape,
                          const std::string& offsets) {
  return R"({"q":)" + entry(dtype, shape, offsets) + "}";
}

/// A file that is damaged or says what is not so, and what its refusal says.
struct Lie {
  const char* name;
  std::string bytes;               ///< of the whole file
  std::vector<std::string> parts;  ///< of the message
};

inline const std::string k16(16, 'x');  // 16 bytes of data
inline const std::string kGood = entry("\"F32\"", "[4]", "[0,16]");

inline const std::vector<Lie> kLies = {
    {"empty_file", "", {"is empty (0 bytes)"}},
    {"seven_bytes", "1234567", {"has only 7 bytes"}},
    {"header_beyond_file", little_endian(100, 8) + "{}", {"header of 100 bytes", "only 2 follow"}},
    {"header_over_100_mb",
     little_endian(100'000'001, 8) + "{}",
     {"header of 100000001 bytes", "at most 100000000"}},
    {"header_of_2_63", little_endian(std::uint64_t{1} << 63, 8) + "{}", {"9223372036854775808"}},
    {"header_of_2_64_less_1", std::string(8, '\xff') + "{}", {"18446744073709551615"}},
    {"no_header_at_all", little_endian(0, 8), {"must start with {"}},
    {"array_header", safetensors_bytes("[1,2]", ""), {"no JSON object"}},
    {"string_header", safetensors_bytes("\"q\"", ""), {"no JSON object"}},
    {"leading_space", safetensors_bytes(" {}", ""), {"must start with {"}},
    {"truncated_json", safetensors_bytes("{\"q\":", ""), {"not valid JSON at byte"}},
    {"two_objects", safetensors_bytes("{}{}", ""), {"not valid JSON at byte"}},
    {"comment", safetensors_bytes("{/**/}", ""), {"not valid JSON at byte 2"}},
    {"nul_then_more", safetensors_bytes(std::string("{}\0{", 4), ""), {"NUL byte at byte 2"}},
    {"bad_utf8", safetensors_bytes("{\"\xc3\x28\":1}", ""), {"not valid UTF-8 at byte 4"}},
    {"bad_utf8_overlong", safetensors_bytes("{\"\xc0\xaf\":1}", ""), {"not valid UTF-8"}},
    {"duplicate_tensor",
     safetensors_bytes("{\"q\":" + kGood + ",\"q\":" + kGood + "}", k16),
     {"names 'q' twice"}},
    {"duplicate_field",
     safetensors_bytes(R"({"q":{"dtype":"F32","dtype":"F16"}})", k16),
     {"names 'dtype' twice"}},
    {"deep_arrays",
     safetensors_bytes("{\"q\":" + repeat("[", 200'000) + repeat("]", 200'000) + "}", ""),
     {"deeper than 64"}},
    {"deep_objects", safetensors_bytes(repeat("{\"a\":", 100'000), ""), {"deeper than 64"}},
    {"deep_metadata",
     safetensors_bytes("{\"__metadata__\":" + repeat("{\"a\":", 70) + "1" + repeat("}", 71), ""),
     {"deeper than 64"}},
    {"long_array",
     safetensors_bytes(only_q("\"F32\"", "[" + repeat("1,", 70) + "1]", "[0,4]"), "xxxx"),
     {"more than 64 items"}},
    {"entry_is_a_number", safetensors_bytes(R"({"q":3})", ""), {"tensor 'q'", "no JSON object"}},
    {"no_dtype",
     safetensors_bytes(R"({"q":{"shape":[4],"data_offsets":[0,16]}})", k16),
     {"tensor 'q'", "lacks 'dtype'"}},
    {"no_shape",
     safetensors_bytes(R"({"q":{"dtype":"F32","data_offsets":[0,16]}})", k16),
     {"tensor 'q'", "lacks 'shape'"}},
    {"no_offsets",
     safetensors_bytes(R"({"q":{"dtype":"F32","shape":[4]}})", k16),
     {"tensor 'q'", "lacks 'data_offsets'"}},
    {"unknown_dtype",
     safetensors_bytes(only_q("\"F33\"", "[4]", "[0,16]"), k16),
     {"tensor 'q'", "unknown dtype 'F33'"}},
    {"lower_case_dtype",
     safetensors_bytes(only_q("\"f32\"", "[4]", "[0,16]"), k16),
     {"unknown dtype 'f32'"}},
    {"dtype_is_a_number",
     safetensors_bytes(only_q("32", "[4]", "[0,16]"), k16),
     {"tensor 'q'", "dtype must be a string"}},
    {"shape_is_a_number",
     safetensors_bytes(only_q("\"F32\"", "4", "[0,16]"), k16),
     {"tensor 'q'", "shape must be an array"}},
    {"negative_size",
     safetensors_bytes(only_q("\"F32\"", "[-4]", "[0,16]"), k16),
     {"tensor 'q'", "shape holds '-4'"}},
    {"fractional_size",
     safetensors_bytes(only_q("\"F32\"", "[4.5]", "[0,16]"), k16),
     {"shape holds '4.5'"}},
    {"whole_but_float_size",
     safetensors_bytes(only_q("\"F32\"", "[4.0]", "[0,16]"), k16),
     {"shape holds '4.0'"}},
    {"size_as_text",
     safetensors_bytes(only_q("\"F32\"", "[\"4\"]", "[0,16]"), k16),
     {"shape holds"}},
    {"size_2_63",
     safetensors_bytes(only_q("\"F32\"", "[9223372036854775808]", "[0,16]"), k16),
     {"tensor 'q'", "9223372036854775808", "2^63 - 1"}},
    {"size_10_25",
     safetensors_bytes(only_q("\"F32\"", "[10000000000000000000000000]", "[0,16]"), k16),
     {"tensor 'q'", "1e+25"}},
    {"number_beyond_double",
     safetensors_bytes(only_q("\"F32\"", "[1e999]", "[0,16]"), k16),
     {"no double holds"}},
    {"product_overflows",
     safetensors_bytes(only_q("\"F32\"", "[4294967296,4294967296]", "[0,16]"), k16),
     {"tensor 'q'", "[4294967296, 4294967296]", "overflows"}},
    {"product_wraps_to_the_right_size",  // 2^62 + 4 elements of 4 bytes wrap to 16 bytes
     safetensors_bytes(only_q("\"F32\"", "[4611686018427387908]", "[0,16]"), k16),
     {"tensor 'q'", "overflows"}},
    {"one_offset",
     safetensors_bytes(only_q("\"F32\"", "[4]", "[16]"), k16),
     {"tensor 'q'", "[begin, end]"}},
    {"three_offsets",
     safetensors_bytes(only_q("\"F32\"", "[4]", "[0,16,16]"), k16),
     {"[begin, end]"}},
    {"offsets_backwards",
     safetensors_bytes(only_q("\"F32\"", "[4]", "[16,0]"), k16),
     {"tensor 'q'", "[16, 0]", "end before they begin"}},
    {"negative_offset",
     safetensors_bytes(only_q("\"F32\"", "[4]", "[-16,0]"), k16),
     {"data_offsets holds '-16'"}},
    {"offset_2_63",
     safetensors_bytes(only_q("\"F32\"", "[4]", "[9223372036854775808,9223372036854775824]"), k16),
     {"tensor 'q'", "9223372036854775808"}},
    {"offset_2_64_less_1",
     safetensors_bytes(only_q("\"F32\"", "[4]", "[0,18446744073709551615]"), k16),
     {"tensor 'q'", "18446744073709551615"}},
    {"out_of_range",
     safetensors_bytes(only_q("\"F32\"", "[8]", "[0,32]"), k16),
     {"tensor 'q'", "[0, 32]", "16 bytes of data"}},
    {"truncated_data",
     safetensors_bytes(only_q("\"F32\"", "[4]", "[0,16]"), "xxxxx"),
     {"tensor 'q'", "[0, 16]", "5 bytes of data", "truncated"}},
    {"shape_needs_more",
     safetensors_bytes(only_q("\"F32\"", "[5]", "[0,16]"), k16),
     {"tensor 'q'", "[0, 16]", "16 bytes", "[5]", "20"}},
    {"wrong_dtype_for_size",
     safetensors_bytes(only_q("\"BF16\"", "[4]", "[0,16]"), k16),
     {"tensor 'q'", "16 bytes", "BF16", "needs 8"}},
    {"half_a_byte",
     safetensors_bytes(only_q("\"F4\"", "[3]", "[0,2]"), "xx"),
     {"tensor 'q'", "whole number of bytes"}},
    {"overlap",
     safetensors_bytes("{\"q\":" + entry("\"F32\"", "[4]", "[0,16]") +
                           ",\"k\":" + entry("\"F32\"", "[2]", "[8,16]") + "}",
                       k16),
     {"tensor 'k' (data_offsets [8, 16]) overlaps tensor 'q' (data_offsets [0, 16])"}},
    {"same_bytes_twice",
     safetensors_bytes("{\"q\":" + kGood + ",\"k\":" + kGood + "}", k16),
     {"overlaps"}},
    {"empty_tensor_inside_another",
     safetensors_bytes("{\"q\":" + kGood + ",\"k\":" + entry("\"F32\"", "[0]", "[8,8]") + "}", k16),
     {"tensor 'k'", "overlaps"}},
    {"hole_in_front",
     safetensors_bytes(only_q("\"F32\"", "[2]", "[8,16]"), k16),
     {"tensor 'q'", "hole", "0 to 8"}},
    {"hole_between",
     safetensors_bytes("{\"q\":" + entry("\"F32\"", "[1]", "[0,4]") +
                           ",\"k\":" + entry("\"F32\"", "[2]", "[8,16]") + "}",
                       k16),
     {"tensor 'k'", "hole", "4 to 8"}},
    {"data_left_over",
     safetensors_bytes(only_q("\"F32\"", "[2]", "[0,8]"), k16),
     {"16 bytes of data", "end at 8"}},
    {"data_of_nobody", safetensors_bytes("{}", k16), {"16 bytes of data", "end at 0"}},
    {"metadata_is_a_list", safetensors_bytes(R"({"__metadata__":[]})", ""), {"__metadata__"}},
    {"metadata_is_a_number", safetensors_bytes(R"({"__metadata__":0})", ""), {"__metadata__"}},
    {"metadata_is_no_text",
     safetensors_bytes(R"({"__metadata__":{"a":1}})", ""),
     {"__metadata__ 'a' must be a string"}},
    {"name_with_control_characters",
     safetensors_bytes("{\"a\\n\\u001b[31m\":3}", ""),
     {"tensor 'a\\x0a\\x1b[31m'"}},
    {"endless_name",
     safetensors_bytes("{\"" + std::string(1'000'000, 'n') + "\":3}", ""),
     {"(1000000 bytes)"}},
};

}  // namespace flashbench::data
