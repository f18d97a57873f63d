#include "guest/shared_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace flashbench::guest {
namespace {

TEST(SharedMemory, NobodyElseCanMapItWritable) {
  SharedMemory memory(5000);
  memory.seal(Access::kReadOnly);
  memory.data()[4999] = std::byte{7};
  EXPECT_EQ(::mmap(nullptr, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, memory.descriptor(), 0),
            MAP_FAILED);
  const SharedMemory theirs(process::Descriptor(::dup(memory.descriptor()), "dup"), 5000,
                            Access::kReadOnly);
  EXPECT_EQ(theirs.data()[4999], std::byte{7});
}

// The program would die of what it looks at.
TEST(SharedMemory, NobodyCanTakeItAway) {
  for (const Access access : {Access::kReadOnly, Access::kReadWrite}) {
    SharedMemory memory(5000);
    memory.seal(access);
    EXPECT_NE(::ftruncate(memory.descriptor(), 0), 0);
    memory.close();
    EXPECT_EQ(memory.data()[4999], std::byte{0});
  }
}

// Bytes that a message names and the memory that came with it does not have: SIGBUS when touched.
TEST(SharedMemory, HasTheBytesThatItIsSaidToHave) {
  const SharedMemory memory(5000);
  const auto theirs = [&](std::size_t bytes) {
    return SharedMemory(process::Descriptor(::dup(memory.descriptor()), "dup"), bytes,
                        Access::kReadOnly);
  };
  EXPECT_NO_THROW(theirs(5000));
  EXPECT_THROW(theirs(5001), std::runtime_error);
  EXPECT_THROW(theirs(~std::size_t{0}), std::runtime_error);
}

TEST(GuardedMemoryDeathTest, ItsEndIsTheEnd) {
  for (const std::size_t bytes : {1u, 256u, 5000u, 1u << 20}) {
    const GuardedMemory memory(bytes);
    auto* data = static_cast<volatile char*>(memory.data());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % 256, 0u);
    data[0] = 1;
    data[bytes - 1] = 1;
    EXPECT_EXIT(data[(bytes + 255) / 256 * 256] = 1, testing::KilledBySignal(SIGSEGV), "") << bytes;
  }
  EXPECT_EQ(GuardedMemory(0).data(), nullptr);
}

// The page that ends a process stands up to 255 bytes behind it, and none in front of it.
TEST(GuardedMemory, WhatIsWrittenAroundItIsFound) {
  for (const std::ptrdiff_t bytes : {1, 255, 300, 5000}) {
    const std::ptrdiff_t end = (bytes + 255) / 256 * 256;
    for (const std::ptrdiff_t at : {std::ptrdiff_t{-1}, bytes, end - 1}) {
      const GuardedMemory memory(static_cast<std::size_t>(bytes));
      auto* data = static_cast<char*>(memory.data());
      std::memset(data, 0, static_cast<std::size_t>(bytes));
      EXPECT_TRUE(memory.is_intact()) << bytes;
      data[at] = 0;
      EXPECT_FALSE(memory.is_intact()) << bytes << " at " << at;
    }
  }
  EXPECT_TRUE(GuardedMemory(0).is_intact());
}

}  // namespace
}  // namespace flashbench::guest
