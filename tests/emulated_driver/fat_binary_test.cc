#include "emulated_driver/fat_binary.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "tests/fat_binary.h"

namespace flashbench::emulated_driver {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& image) {
  try {
    ptx_in(image.data(), 90);
  } catch (const FatBinaryError& e) {
    return e.what();
  }
  return "none";
}

TEST(FatBinary, TheNewestPtxThatTheDeviceTakesIsChosen) {
  const std::string image =
      fat_binary(fat_entry(kMachineCode, 90,
                           "\x7f"
                           "ELF") +
                 fat_entry(kPtx, 80, ".target sm_80") + fat_entry(kPtx, 90, ".target sm_90") +
                 fat_entry(kPtx, 100, ".target sm_100"));
  EXPECT_TRUE(is_fat_binary(image.data()));
  EXPECT_EQ(ptx_in(image.data(), 90), ".target sm_90");
  EXPECT_EQ(ptx_in(image.data(), 89), ".target sm_80");
}

TEST(FatBinary, AWrapperThatProgramsRegisterIsOneToo) {
  const std::string image = fat_binary(fat_entry(kPtx, 80, ".version 8.0"));
  FatWrapper wrapper;
  wrapper.data = image.data();
  EXPECT_TRUE(is_fat_binary(&wrapper));
  EXPECT_EQ(ptx_in(&wrapper, 90), ".version 8.0");
  EXPECT_FALSE(is_fat_binary("// PTX"));
}

TEST(FatBinary, MachineCodeAloneSaysHowToCompileInstead) {
  EXPECT_THAT(error_of(fat_binary(fat_entry(kMachineCode, 90,
                                            "\x7f"
                                            "ELF"))),
              HasSubstr("no PTX for compute capability 9.0 or an older one"));
  EXPECT_THAT(error_of(fat_binary(fat_entry(kPtx, 100, ".target sm_100"))),
              HasSubstr("compile with nvcc -arch=compute_90"));
}

TEST(FatBinary, WhatIsCompressedOtherwiseSaysHowToCompileInstead) {
  EXPECT_THAT(error_of(fat_binary(fat_entry(kPtx, 80, "packed", kLz4))),
              HasSubstr("compressed by LZ4, which is not read here; compile with nvcc "
                        "--no-compress"));
}

/// A function of libzstd.so.1; null: it is not here.
template <typename Function>
Function of_zstd(const char* name) {
  void* const library = ::dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
  return library == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(library, name));
}

std::string compressed(const std::string& text) {
  const auto compress =
      of_zstd<std::size_t (*)(void*, std::size_t, const void*, std::size_t, int)>("ZSTD_compress");
  std::string packed(text.size() + 1000, '\0');
  packed.resize(compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

class CompressedByZstd : public testing::Test {
 protected:
  void SetUp() override {
    if (of_zstd<void*>("ZSTD_compress") == nullptr) GTEST_SKIP() << "no libzstd.so.1";
  }
};

TEST_F(CompressedByZstd, PtxIsReadWhole) {
  const std::string text(5000, '.');
  EXPECT_EQ(
      ptx_in(fat_binary(fat_entry(kPtx, 80, compressed(text), kZstd, text.size())).data(), 90),
      text);
}

TEST_F(CompressedByZstd, WhatIsNoFrameOrOfAnotherSizeIsRefused) {
  const std::string text(5000, '.'), packed = compressed(text);
  for (const auto& [code, whole] : {std::pair(std::string("no frame"), std::size_t{100}),
                                    {packed, text.size() - 1},
                                    {packed, text.size() + 1},
                                    {packed.substr(0, packed.size() - 1), text.size()}})
    EXPECT_THAT(error_of(fat_binary(fat_entry(kPtx, 80, code, kZstd, whole))),
                HasSubstr("its PTX cannot be decompressed; compile with nvcc --no-compress"))
        << whole;
  EXPECT_THAT(error_of(fat_binary(fat_entry(kPtx, 80, packed, kZstd, std::uint64_t{1} << 40))),
              HasSubstr("beyond 256 MiB"));
}

/// A fat binary of one part with a number of its own at a place in it.
template <typename Number>
std::string with(std::size_t at, Number number) {
  std::string image =
      fat_binary(fat_entry(kPtx, 80, ".version 8.0") + fat_entry(kPtx, 90, ".target"));
  std::memcpy(image.data() + at, &number, sizeof number);
  return image;
}

TEST(FatBinary, SizesThatContradictEachOtherAreRefused) {
  constexpr std::size_t kHeader = 16;
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [image, why] :
       {std::pair(with(6, std::uint16_t{8}), "its header has no size that can be"),
        {with(kHeader + 4, std::uint32_t{0}), "the header of a part has no size that can be"},
        {with(kHeader + 4, std::uint32_t{4096}), "the header of a part has no size that can be"},
        {with(kHeader + 8, std::uint64_t{4096}), "a part is longer than the whole"},
        {with(kHeader + 8, kMost - 63), "a part is longer than the whole"},  // at the same place
        {with(kHeader + 16, std::uint32_t{4096}), "what is compressed is longer than its part"}})
    EXPECT_THAT(error_of(image), HasSubstr(why));
}

TEST(FatBinary, AWrapperOfSomethingElseIsRefused) {
  FatWrapper wrapper;
  EXPECT_THROW(ptx_in(&wrapper, 90), FatBinaryError);
  wrapper.data = ".version 8.0";
  EXPECT_THROW(ptx_in(&wrapper, 90), FatBinaryError);
}

}  // namespace
}  // namespace flashbench::emulated_driver
