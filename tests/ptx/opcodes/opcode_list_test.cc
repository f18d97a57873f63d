#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "ptx/opcodes/decoder.h"

namespace flashbench::ptx {
namespace {

// Whoever brings a kernel reads there what it may use.
TEST(Opcodes, TheReadmeListsThoseThatAreKnown) {
  std::stringstream readme;
  readme << std::ifstream(FLASHBENCH_SOURCE_DIR "/lib/ptx/README.md").rdbuf();
  EXPECT_THAT(readme.str(),
              testing::HasSubstr(fmt::format("\n    {}\n", fmt::join(known_opcodes(), " "))));
}

}  // namespace
}  // namespace flashbench::ptx
