#include "emulated_driver/fat_binary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  EXPECT_THAT(error_of(fat_binary(fat_entry(kPtx, 80, "no frame", kZstd))),
              HasSubstr("compile with nvcc --no-compress"));
}

}  // namespace
}  // namespace flashbench::emulated_driver
