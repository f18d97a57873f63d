#include "guest/marks.h"

#include <gtest/gtest.h>

namespace flashbench::guest {
namespace {

TEST(Marks, StandAtBothEndsAndElsewhereEachTime) {
  Placement none, out;
  out.tensors = {{"o", "f32", {1000}, {1}, 0, 4000}, {"dq", "f32", {1000}, {1}, 4096, 4000}};
  out.bytes = 8192;
  SharedMemory nothing, memory(out.bytes);
  for (const bool gradients_only : {false, true}) {
    Marks marks({&none, &nothing, &out, &memory}, gradients_only);
    std::vector<std::size_t> places;
    for (int call = 0; call < 10; ++call) {
      std::memset(memory.data(), 0, memory.bytes());
      marks.set();
      for (const std::size_t end : {std::size_t{0}, std::size_t{999}}) {
        EXPECT_EQ(memory.data()[4096 + 4 * end], std::byte{0xFF});
        EXPECT_EQ(memory.data()[4 * end] == std::byte{0xFF}, !gradients_only) << "O is given";
      }
      for (std::size_t i = 1; i < 999; ++i)
        if (memory.data()[4096 + 4 * i] == std::byte{0xFF}) places.push_back(i);
      for (std::size_t i = 4000; i < 4096; ++i) EXPECT_EQ(memory.data()[i], std::byte{0});
    }
    EXPECT_GT(places.size(), 5u);
    EXPECT_NE(places.front(), places.back());
  }
}

}  // namespace
}  // namespace flashbench::guest
