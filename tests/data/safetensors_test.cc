#include "data/safetensors.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <ctime>

#include "data/npy.h"
#include "system/error.h"
#include "tests/data/safetensors_lies.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

using testing::ElementsAre;

TEST(SafetensorsReader, RefusesEveryLieInOneLineThatNamesTheFile) {
  const Scratch scratch;
  for (const Lie& lie : kLies) {
    SCOPED_TRACE(lie.name);
    const std::string path = scratch.put("lie.safetensors", lie.bytes);
    std::vector<std::string> parts = lie.parts;
    parts.push_back(path + ": ");
    expect_usage_error([&] { open_safetensors(path); }, parts);
  }
}

/// {"t0":{...},"t1":{...},...}, each of four bytes; `begin(i)`: where those of tensor i begin.
template <typename Begin>
std::string many_tensors(int count, const Begin& begin) {
  std::string header = "{";
  for (int i = 0; i < count; ++i)
    header += fmt::format(R"({}"t{}":{})", i > 0 ? "," : "", i,
                          entry("\"F32\"", "[1]", fmt::format("[{},{}]", begin(i), begin(i) + 4)));
  return header + "}";
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

TEST(SafetensorsReader, TimeIsInProportionToTheNumberOfTensors) {
  // Each of these takes some tenths of a second; a hundred times that where it is quadratic.
  constexpr int kCount = 100'000;
  const Scratch scratch;
  const double before_s = cpu_seconds();
  const std::string path = scratch.put(
      "many", safetensors_bytes(many_tensors(kCount, [](int i) { return 4 * (kCount - 1 - i); }),
                                std::string(4 * kCount, 'x')));
  const TensorFile file = open_safetensors(path);
  ASSERT_EQ(file.tensors().size(), std::size_t{kCount});
  EXPECT_EQ(file.find("t0")->offset, file.find("t1")->offset + 4);
  EXPECT_THAT(file.names(), testing::EndsWith("and 99992 more"));
  const std::string same =
      scratch.put("same", safetensors_bytes(many_tensors(kCount, [](int) { return 0; }), "xxxx"));
  expect_usage_error([&] { open_safetensors(same); },
                     {"tensor 't1' (data_offsets [0, 4]) overlaps tensor 't0'"});
  const std::string chain =
      scratch.put("chain", safetensors_bytes(many_tensors(kCount, [](int i) { return 2 * i; }),
                                             std::string(2 * kCount + 2, 'x')));
  expect_usage_error([&] { open_safetensors(chain); },
                     {"tensor 't1' (data_offsets [2, 6]) overlaps tensor 't0'"});
  std::string twice = many_tensors(kCount, [](int i) { return 4 * i; });
  twice.back() = ',';
  twice += "\"t7\":" + kGood + "}";
  const std::string repeated = scratch.put("twice", safetensors_bytes(twice, ""));
  expect_usage_error([&] { open_safetensors(repeated); }, {"names 't7' twice"});
  EXPECT_LT(cpu_seconds() - before_s, 20);
}

/// The bytes of a ZIP archive up to the first member's data.
std::string zip_bytes(const std::string& member) {
  return std::string("PK\x03\x04\x2d\0\0\0\0\0", 10) + std::string(16, '\0') +
         little_endian(member.size(), 2) + little_endian(0, 2) + member + "data and a directory";
}

TEST(SafetensorsReader, NamesFormatsThatItDoesNotRead) {
  const std::string index =
      R"({"metadata": {"total_size": 32},)"
      "\n"
      R"("weight_map": {"q": "model-00001-of-00002.safetensors", "k": "model-00002-of-00002.safetensors",)"
      R"("v": "model-00002-of-00002.safetensors"}})";
  std::string large = R"({ "weight_map": {)";
  for (int i = 10; i < 30; ++i)
    large += fmt::format(R"({}"w{}": "{}.safetensors")", i > 10 ? "," : "", i, i);
  large += "}}";
  const std::vector<Lie> files = {
      {"arrays.npz", zip_bytes("q.npy"), {"is a .npz archive", "numpy.save", "--q, --k and --v"}},
      {"renamed.safetensors", zip_bytes("arr_0.npy"), {"is a .npz archive"}},
      {"empty.npz", "PK\x05\x06" + std::string(18, '\0'), {"is a .npz archive"}},
      {"model.pt", zip_bytes("archive/data.pkl"), {"is a PyTorch file", "save_file"}},
      {"files.zip", zip_bytes("readme.txt"), {"is a ZIP archive; unpack it"}},
      {"cut.zip", std::string("PK\x03\x04\x14\0\0\0", 8), {"is a ZIP archive"}},
      {"old.pth", "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9", {"is a Python pickle", "as .safetensors"}},
      {"model.gguf", std::string("GGUF\x03\0\0\0\x01", 9), {"is a GGUF model"}},
      {"model.h5", "\x89HDF\r\n\x1a\n and more", {"is an HDF5 file"}},
      {"q.safetensors.gz", "\x1f\x8b\x08\x08 and more", {"gzip; unpack it"}},
      {"q.npy", std::string(kNpyMagic) + std::string("\x01\0v\0{", 5), {"is a .npy array"}},
      {"model.safetensors.index.json",
       index,
       {"is the index of a sharded checkpoint", "--input",
        "'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'"}},
      {"renamed_index.safetensors", "\n" + index, {"is the index of a sharded checkpoint"}},
      {"many.index.json",
       large,
       {"'10.safetensors', '11.safetensors', '12.safetensors' and 17 more"}},
      {"no_map.index.json", R"({"weight_map": 3})", {"is JSON text"}},
      {"empty_map.index.json", R"({"weight_map": {}})", {"is JSON text"}},
      {"cut.index.json", index.substr(0, 100), {"is JSON text"}},
      {"config.json", R"({"a": {"b": [1, 2]}})", {"is JSON text and holds no tensors"}},
  };
  const Scratch scratch;
  for (const Lie& file : files) {
    SCOPED_TRACE(file.name);
    const std::string path = scratch.put(file.name, file.bytes);
    std::vector<std::string> parts = file.parts;
    parts.push_back(path + ": is ");
    expect_usage_error([&] { open_safetensors(path); }, parts);
  }
}

TEST(SafetensorsReader, AHeaderWhoseLengthLooksLikeAnotherFormatIsRead) {
  const Scratch scratch;
  // 0x8b1f and 0x0280 bytes: gzip's and pickle's first bytes.
  for (const std::size_t length : {std::size_t{0x8b1f}, std::size_t{0x0280}, std::size_t{'{'}}) {
    std::string header = only_q("\"F32\"", "[4]", "[0,16]");
    header.resize(length, ' ');
    const TensorFile file =
        open_safetensors(scratch.put("t.safetensors", safetensors_bytes(header, k16)));
    EXPECT_EQ(file.tensors().size(), 1u) << length;
  }
}

TEST(SafetensorsReader, SurvivesEveryTruncationAndEveryFlippedBit) {
  // Whatever a damaged file says, it is read right or refused; under ASan this finds overruns.
  const Scratch scratch;
  const std::string good = contents(FLASHBENCH_TEST_DATA "/tiny_bf16.safetensors");
  int refused = 0;
  const auto try_open = [&](const std::string& bytes) {
    try {
      const TensorFile file = open_safetensors(scratch.put("damaged.safetensors", bytes));
      for (const StoredTensor& t : file.tensors()) {
        std::vector<std::byte> data(t.bytes);
        file.read(t, 0, data);
      }
    } catch (const UsageError&) {
      ++refused;
    }
  };
  for (std::size_t size = 0; size < good.size(); size += 23) try_open(good.substr(0, size));
  EXPECT_EQ(refused, static_cast<int>((good.size() + 22) / 23));
  const std::size_t header_end = good.find("]}}") + 8;
  for (std::size_t i = 0; i < header_end; ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 7)));
    try_open(bad);
  }
  EXPECT_GT(refused, 300);
}

TEST(SafetensorsReader, RefusesWhatIsNoFile) {
  const Scratch scratch;
  expect_usage_error([&] { open_safetensors(scratch.path("missing")); },
                     {"missing: cannot be read: No such file"});
  expect_usage_error([&] { open_safetensors(scratch.path("")); }, {"is a folder"});
  ASSERT_EQ(mkfifo(scratch.path("fifo").c_str(), 0600), 0);
  expect_usage_error([&] { open_safetensors(scratch.path("fifo")); }, {"is a FIFO"});
  expect_usage_error([] { open_safetensors("/dev/zero"); }, {"is a device"});
  expect_usage_error([&] { open_safetensors(scratch.path("a\nb")); }, {"a\\x0ab: cannot be read"});
}

TEST(SafetensorsReader, RefusesAnUnreadableFile) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const Scratch scratch;
  const std::string path = scratch.put("secret", "x");
  chmod(path.c_str(), 0);
  expect_usage_error([&] { open_safetensors(path); },
                     {"secret: cannot be read: Permission denied"});
}

TEST(SafetensorsReader, TakesWhatTheFormatAllows) {
  const Scratch scratch;
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"data_offsets":[4,6],"shape":[2,1],"dtype":"U8"},)"
      R"("scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("none":{"dtype":"F16","shape":[0,9223372036854775807],"data_offsets":[6,6]},)"
      R"("long":{"dtype":"U64","shape":[1],"data_offsets":[6,14],"extra":true}}   )";
  const TensorFile file = open_safetensors(scratch.put(
      "odd.safetensors", safetensors_bytes(header, std::string("\0\0\x80?ab12345678", 14))));
  EXPECT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.find("missing"), nullptr);
  EXPECT_EQ(file.find("long")->element, Element(OtherElement::kUnread));
  EXPECT_THAT(file.find("b")->shape, ElementsAre(2, 1));
  EXPECT_TRUE(file.find("scalar")->shape.empty());
  std::array<std::byte, 4> bytes{};
  file.read(*file.find("scalar"), 0, bytes);  // 1.0f at an odd place of the file
  float value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  EXPECT_EQ(value, 1.0f);
  EXPECT_THAT(open_safetensors(scratch.put("no.safetensors", safetensors_bytes("{}", ""))).names(),
              "no tensor");
}

TEST(SafetensorsReader, MetadataMayBeNullAsInTheReferenceImplementation) {
  const Scratch scratch;
  const std::string header = R"({"__metadata__":null,"q":)" + kGood + "}";
  EXPECT_EQ(open_safetensors(scratch.put("t", safetensors_bytes(header, k16))).names(), "'q'");
}

TEST(SafetensorsReader, AnEmptyTensorOverflowsNothing) {
  const Scratch scratch;
  const std::string header = only_q("\"F32\"", "[4611686018427387904,0]", "[0,0]");
  EXPECT_EQ(open_safetensors(scratch.put("t", safetensors_bytes(header, ""))).find("q")->bytes, 0u);
}

TEST(SafetensorsReader, AFileThatShrinksIsAnErrorAndNotACrash) {
  const Scratch scratch;
  const std::string path =
      scratch.put("t", safetensors_bytes(only_q("\"F32\"", "[4]", "[0,16]"), k16));
  const TensorFile file = open_safetensors(path);
  ASSERT_EQ(truncate(path.c_str(), 20), 0);
  std::array<std::byte, 16> bytes{};
  expect_usage_error([&] { file.read(*file.find("q"), 0, bytes); }, {"ends at byte"});
}

TensorToWrite floats(const std::string& name, const std::vector<float>& values) {
  return {name,
          Dtype::kF32,
          {static_cast<std::int64_t>(values.size())},
          [values](const ByteSink& sink) { sink(std::as_bytes(std::span(values))); }};
}

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  const Scratch scratch;
  const std::string path = scratch.path("out.safetensors");
  const TensorToWrite bytes{"mask", OtherElement::kBool, {3}, [](const ByteSink& sink) {
                              const std::uint8_t values[] = {1, 0, 1};
                              sink(std::as_bytes(std::span(values, 1)));
                              sink(std::as_bytes(std::span(values + 1, 2)));
                            }};
  write_safetensors(path, {bytes, floats("a", {1, 2, 3})}, {{"note", "\xff is not UTF-8"}});
  const TensorFile file = open_safetensors(path);
  const StoredTensor& a = *file.find("a");
  EXPECT_EQ(a.offset % 8, 0u) << "the header must be padded";
  EXPECT_LT(a.offset, file.find("mask")->offset) << "wider elements first: all are aligned";
  std::vector<float> values(3);
  file.read(a, 0, std::as_writable_bytes(std::span(values)));
  EXPECT_THAT(values, ElementsAre(1, 2, 3));
  std::vector<std::uint8_t> mask(3);
  file.read(*file.find("mask"), 0, std::as_writable_bytes(std::span(mask)));
  EXPECT_THAT(mask, ElementsAre(1, 0, 1));
}

TEST(SafetensorsWriter, AFailureInTheMiddleLeavesTheOldFile) {
  const Scratch scratch;
  const std::string path = scratch.put("out", "precious");
  TensorToWrite short_one = floats("a", {1, 2, 3});
  short_one.shape = {4};
  EXPECT_THROW(write_safetensors(path, {short_one}), std::logic_error);
  EXPECT_THROW(write_safetensors(path, {floats("a", {1}), floats("a", {1})}), std::logic_error);
  EXPECT_EQ(contents(path), "precious");
}

}  // namespace
}  // namespace flashbench::data
