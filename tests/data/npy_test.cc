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

std::string shaped(const std::string& shape) {
  return npy_bytes(header("'<f4'", "False", shape), k8);
}
std::string typed(const std::string& descr) {
  return npy_bytes(header(descr, "False", "(2,)"), k8);
}

const std::vector<Lie> kLies = {
    {"empty", "", {"is empty (0 bytes)"}},
    {"only_magic", std::string(kNpyMagic), {"has only 6 bytes"}},
    {"other_magic", "PK\x03\x04 a zip archive", {"is a ZIP archive"}},
    {"npz",
     std::string("PK\x03\x04", 4) + std::string(22, '\0') + std::string("\x05\0\0\0q.npy", 9),
     {"is a .npz archive", "numpy.save"}},
    {"no_magic", "some text, no array", {"is no .npy file"}},
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
    {"fortran", npy_bytes(header("'<f2'", "True", "(2, 1, 2)"), k8), {"Fortran order"}},
    {"order_is_a_number", npy_bytes(header("'<f4'", "0", "(2,)"), k8), {"True or False"}},
    {"shape_is_a_list", shaped("[2]"), {"malformed", "'('"}},
    {"shape_is_a_number", shaped("(2)"), {"malformed", "','"}},
    {"shape_is_a_bare_number", shaped("2"), {"malformed", "'('"}},
    {"only_a_comma", shaped("(,)"), {"the shape holds ','"}},
    {"two_commas", shaped("(2,,)"), {"the shape holds ','"}},
    {"octal", shaped("(02,)"), {"the shape holds '02'"}},
    {"hexadecimal", shaped("(0x2,)"), {"the shape holds '0x2'"}},
    {"two_longs", shaped("(2LL,)"), {"malformed", "','"}},
    {"lower_case_long", shaped("(2l,)"), {"the shape holds '2l'"}},
    {"only_long", shaped("(L,)"), {"the shape holds 'L'"}},
    {"marked_long_name", typed("'<float32'"), {"'<float32'"}},
    {"long_in_version_3",
     npy_bytes(header("'<f4'", "False", "(2L,)"), k8, 3),
     {"malformed", "','"}},
    {"tail_of_a_tuple", npy_bytes(header("'<f4'", "False", "(2,)") + ",", k8), {"end of the"}},
    {"bytes", npy_bytes(header("b'<f4'", "False", "(2,)"), k8), {"expected a string"}},
    {"big_endian_native_name", typed("'>f2'"), {"'>f2'", "astype('<f2')"}},
    {"f8_native", typed("'=f8'"), {"'=f8'"}},
    {"i1", typed("'|i1'"), {"'|i1'"}},
    {"two_marks", typed("'<<f4'"), {"'<<f4'"}},
    {"no_descr_at_all", typed("''"), {"dtype ''"}},
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

TEST(Npy, RefusesEveryLieInOneLineThatNamesTheFile) {
  const Scratch scratch;
  for (const Lie& lie : kLies) {
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

/// The only tensor of a file with this header and 8 bytes of data.
StoredTensor read_header(const std::string& header, int major = 1) {
  const Scratch scratch;
  return open_npy(scratch.put("t.npy", npy_bytes(header, k8, major))).tensors().front();
}

TEST(Npy, TakesEveryNameOfATypeThatNumpyTakes) {
  const auto element = [](const std::string& descr, const std::string& shape) {
    return read_header(header("'" + descr + "'", "False", shape)).element;
  };
  for (const char* descr : {"<f4", "=f4", "|f4", "f4", "f", "<f", "float32", "single"})
    EXPECT_EQ(element(descr, "(2,)"), Element(Dtype::kF32)) << descr;
  for (const char* descr : {"<f2", "=f2", "f2", "e", "float16", "half"})
    EXPECT_EQ(element(descr, "(4,)"), Element(Dtype::kF16)) << descr;
  for (const char* descr : {"|u1", "<u1", ">u1", "=u1", "u1", "B", "uint8"})
    EXPECT_EQ(element(descr, "(8,)"), Element(OtherElement::kU8)) << descr;
  for (const char* descr : {"|b1", "b1", "?", "|?", "bool", "bool_"})
    EXPECT_EQ(element(descr, "(8,)"), Element(OtherElement::kBool)) << descr;
}

TEST(Npy, ReadsTheHeadersOfPython2) {
  EXPECT_THAT(read_header(header("'<f4'", "False", "(1L, 2L)")).shape, ElementsAre(1, 2));
  EXPECT_THAT(read_header(header("'<f4'", "False", "(2 L,)"), 2).shape, ElementsAre(2));
  EXPECT_THAT(read_header("{u'descr': u'<f4', u'fortran_order': False, u'shape': (1, 2)}").shape,
              ElementsAre(1, 2));
}

TEST(Npy, ReadsAHeaderHoweverPythonAllowsToWriteIt) {
  for (const char* text : {
           "{'descr':'<f4','fortran_order':False,'shape':(1,2)}",
           "{'shape': (1, 2), 'fortran_order': False, 'descr': '<f4'}",
           "  { 'descr' : \"<f4\" , \"fortran_order\"\t: False ,\n'shape' : ( 1 ,\n 2 , ) , } \n\n",
           "\t{\r\n'fortran_order': False, 'descr': '<f4', 'shape': (+1, 2)\f}\r\n",
       })
    EXPECT_THAT(read_header(text).shape, ElementsAre(1, 2)) << text;
  EXPECT_THAT(read_header(header("'<f4'", "False", "(2 ,)")).shape, ElementsAre(2));
}

TEST(Npy, FortranOrderIsReadWhereItIsCOrderToo) {
  for (const char* shape : {"(1, 2)", "(2,)", "(1, 1, 2, 1)"})
    EXPECT_EQ(read_header(header("'<f4'", "True", shape)).bytes, 8u) << shape;
  const Scratch scratch;
  EXPECT_EQ(open_npy(scratch.put("t.npy", npy_bytes(header("'<f4'", "True", "(2, 0, 3)"), "")))
                .tensors()
                .front()
                .bytes,
            0u);
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
