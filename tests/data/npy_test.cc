#include "data/npy.h"

#include <cstring>

#include "system/error.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

using testing::ElementsAre;

std::string npy_bytes(const std::string& header, const std::string& data, int major = 1) {
  return std::string(kNpyMagic) + static_cast<char>(major) + '\0' +
         little_endian(header.size(), major == 1 ? 2 : 4) + header + data;
}

std::string header(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }  \n";
}

const std::string k8(8, 'x');

std::string ones(int count) {
  std::string text = "(";
  for (int i = 0; i < count; ++i) text.append("1, ");
  return text.append(")");
}

struct Lie {
  const char* name;
  std::string bytes;
  std::vector<std::string> parts;
};

std::vector<Lie> lies() {
  const auto shaped = [](const std::string& shape) {
    return npy_bytes(header("'<f4'", "False", shape), k8);
  };
  const auto typed = [](const std::string& descr) {
    return npy_bytes(header(descr, "False", "(2,)"), k8);
  };
  return {
      {"empty", "", {"is empty (0 bytes)"}},
      {"only_magic", std::string(kNpyMagic), {"has only 6 bytes"}},
      {"other_magic", "PK\x03\x04 a zip archive", {"is no .npy file"}},
      {"version_0", npy_bytes(header("'<f4'", "False", "(2,)"), k8, 0), {"version 0.0"}},
      {"version_4", npy_bytes(header("'<f4'", "False", "(2,)"), k8, 4), {"version 4.0"}},
      {"header_beyond_file",
       std::string(kNpyMagic) + std::string("\x01\0\xff\xff", 4) + "{   ",
       {"header of 65535 bytes", "only 4 follow"}},
      {"header_of_4_gb",
       std::string(kNpyMagic) + std::string("\x02\0\xff\xff\xff\xff", 6) + "{   ",
       {"header of 4294967295 bytes", "at most"}},
      {"no_dictionary", npy_bytes("[1, 2]   \n", k8), {"malformed at its byte 0", "'{'"}},
      {"unclosed", npy_bytes("{'descr': '<f4'", k8), {"malformed"}},
      {"unclosed_string", npy_bytes("{'descr", k8), {"the end of a string"}},
      {"rest", npy_bytes(header("'<f4'", "False", "(2,)") + "x", k8), {"end of the header"}},
      {"no_descr", npy_bytes("{'fortran_order': False, 'shape': (2,)}", k8), {"lacks 'descr'"}},
      {"no_order", npy_bytes("{'descr': '<f4', 'shape': (2,)}", k8), {"lacks 'fortran_order'"}},
      {"no_shape", npy_bytes("{'descr': '<f4', 'fortran_order': False}", k8), {"lacks 'shape'"}},
      {"unknown_key", npy_bytes("{'size': 3}  ", k8), {"unknown key 'size'"}},
      {"duplicate_key", npy_bytes("{'shape': (2,), 'shape': (2,)}", k8), {"names 'shape' twice"}},
      {"big_endian", typed("'>f4'"), {"'>f4'", "big-endian", "astype('<f4')"}},
      {"f8", typed("'<f8'"), {"'<f8'", "'<f4' and '<f2' are read"}},
      {"i4", typed("'<i4'"), {"'<i4'"}},
      {"bf16", typed("'<V2'"), {"no bf16", ".safetensors"}},
      {"pickled_objects", typed("'|O'"), {"'|O'"}},
      {"records", typed("[('a', '<f4')]"), {"structured dtype"}},
      {"fortran", npy_bytes(header("'<f4'", "True", "(2,)"), k8), {"Fortran order"}},
      {"order_is_a_number", npy_bytes(header("'<f4'", "0", "(2,)"), k8), {"True or False"}},
      {"shape_is_a_list", shaped("[2]"), {"malformed", "'('"}},
      {"negative", shaped("(-2,)"), {"'-2'"}},
      {"fraction", shaped("(2.0,)"), {"'2.0'"}},
      {"size_2_63", shaped("(9223372036854775808,)"), {"'9223372036854775808'"}},
      {"words", shaped("(two,)"), {"the shape holds"}},
      {"product_overflows", shaped("(4294967296, 4294967296)"), {"overflows"}},
      {"product_wraps", shaped("(4611686018427387906,)"), {"overflows"}},
      {"many_axes", shaped(ones(65)), {"more than 64 axes"}},
      {"truncated", shaped("(3,)"), {"[3]", "needs 12 bytes", "but 8 follow", "truncated"}},
      {"data_left_over", shaped("(1,)"), {"[1]", "needs 4 bytes", "but 8 follow"}},
  };
}

TEST(Npy, RefusesEveryLieInOneLineThatNamesTheFile) {
  const Scratch scratch;
  for (const Lie& lie : lies()) {
    SCOPED_TRACE(lie.name);
    const std::string path = scratch.put("lie.npy", lie.bytes);
    std::vector<std::string> parts = lie.parts;
    parts.push_back(path + ": ");
    expect_usage_error([&] { open_npy(path); }, parts);
  }
}

TEST(Npy, ReadsAllVersionsAndTypes) {
  const Scratch scratch;
  const std::pair<const char*, Element> types[] = {{"'<f4'", Dtype::kF32},
                                                   {"\"<f2\"", Dtype::kF16},
                                                   {"'|u1'", OtherElement::kU8},
                                                   {"'|b1'", OtherElement::kBool}};
  for (int major = 1; major <= 3; ++major) {
    for (const auto& [descr, element] : types) {
      const int items = static_cast<int>(8 / element_bytes(element));
      const std::string shape = "(1, " + std::to_string(items) + ")";
      const TensorFile file = open_npy(
          scratch.put("t.npy", npy_bytes(header(descr, "False", shape), "abcdefgh", major)));
      ASSERT_EQ(file.tensors().size(), 1u);
      const StoredTensor& t = file.tensors().front();
      EXPECT_EQ(t.element, element);
      EXPECT_THAT(t.shape, ElementsAre(1, items));
      std::string data(8, '\0');
      file.read(t, 0, std::as_writable_bytes(std::span(data)));
      EXPECT_EQ(data, "abcdefgh");
    }
  }
}

TEST(Npy, ReadsScalars) {
  const Scratch scratch;
  const TensorFile file =
      open_npy(scratch.put("t.npy", npy_bytes(header("'<f4'", "False", "()"), "abcd")));
  EXPECT_TRUE(file.tensors().front().shape.empty());
}

TEST(Npy, SurvivesEveryTruncationAndEveryFlippedBit) {
  const Scratch scratch;
  const std::string good = contents(FLASHBENCH_TEST_DATA "/tiny_q.npy");
  int refused = 0;
  const auto try_open = [&](const std::string& bytes) {
    try {
      const TensorFile file = open_npy(scratch.put("damaged.npy", bytes));
      std::vector<std::byte> data(file.tensors().front().bytes);
      file.read(file.tensors().front(), 0, data);
    } catch (const UsageError&) {
      ++refused;
    }
  };
  for (std::size_t size = 0; size < good.size(); size += 11) try_open(good.substr(0, size));
  EXPECT_EQ(refused, static_cast<int>((good.size() + 10) / 11));
  for (std::size_t i = 0; i < 130; ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 7)));
    try_open(bad);
  }
}

TEST(OpenTensorFile, ContentDecidesWhichFormat) {
  const Scratch scratch;
  const std::string npy = npy_bytes(header("'<f4'", "False", "(2,)"), k8);
  EXPECT_EQ(open_tensor_file(scratch.put("renamed.bin", npy)).tensors().front().name, "");
  const std::string tensors =
      safetensors_bytes(R"({"q":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", k8);
  EXPECT_EQ(open_tensor_file(scratch.put("renamed", tensors)).tensors().front().name, "q");
  expect_usage_error([&] { open_tensor_file(scratch.put("wrong.npy", tensors)); },
                     {"is no .npy file"});
  expect_usage_error([&] { open_tensor_file(scratch.put("text.txt", "hello, world")); },
                     {"is this a .safetensors file?"});
}

}  // namespace
}  // namespace flashbench::data
