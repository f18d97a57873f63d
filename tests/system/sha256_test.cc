#include "system/sha256.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "system/error.h"

namespace flashbench {
namespace {

class Sha256 : public testing::Test {
 protected:
  Sha256() { std::filesystem::create_directories(folder_); }
  ~Sha256() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& text) const {
    const std::string path = folder_ / "file";
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("sha256_test_" + std::to_string(::getpid()));
};

/// The example messages of FIPS 180-4.
TEST_F(Sha256, DigestsAreThoseOfTheStandard) {
  EXPECT_EQ(sha256_of_file(file("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of("abc"), sha256_of_file(file("abc")));
  EXPECT_EQ(sha256_of_file(file("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of_file(file(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(Sha256, WhatMightNeverEndIsRefused) {
  const std::string pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THROW(sha256_of_file(pipe), UsageError);
  EXPECT_THROW(sha256_of_file("/dev/zero"), UsageError);
  EXPECT_THROW(sha256_of_file(folder_), UsageError);
  EXPECT_THROW(sha256_of_file(folder_ / "nothing"), UsageError);
}

}  // namespace
}  // namespace flashbench
