// Memory of the device: what it takes of this machine, and what it is called once it is gone.
#include <fstream>

#include "tests/ptx/harness.h"

namespace flashbench::ptx {
namespace {

using testing::HasSubstr;

std::size_t resident_bytes() {
  std::size_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * 4096;
}

std::string finding(Device& d, const std::string& body, Address address) {
  const LaunchResult result = run_body(d, body, {address}, {{}, {1}});
  return result.findings.empty() ? "none" : result.findings.front().message;
}

TEST(GlobalMemory, ALargeAllocationTakesThisMachinesMemoryOnlyWhereItIsTouched) {
  constexpr std::size_t kBytes = std::size_t{4} << 30;
  const std::size_t before = resident_bytes();
  Device d;
  const Address large = d.alloc(kBytes, "large");
  EXPECT_EQ(finding(d, "st.global.u32 [%p0], 7;", large), "none");
  EXPECT_EQ(get<std::uint32_t>(d, large, 2), (std::vector<std::uint32_t>{7, ~0u}));
  EXPECT_LT(resident_bytes() - before, kBytes / 16);
}

TEST(GlobalMemory, WhatNothingHasWrittenReadsAsNaNEvenBehindAPoison) {
  Device d;
  const Address a = put<std::uint32_t>(d, {1, 2, 3}, "a");
  d.poison(a + 4, 4);
  EXPECT_EQ(get<std::uint32_t>(d, a, 3), (std::vector<std::uint32_t>{1, ~0u, 3}));
  EXPECT_THAT(finding(d, "ld.global.u32 %r0, [%p0+4]; st.global.u32 [%p0], %r0;", a),
              HasSubstr("byte 4 of 'a', which nothing has written"));
  EXPECT_EQ(get<std::uint32_t>(d, a, 1)[0], ~0u);
}

TEST(GlobalMemory, ACopyOfWhatNothingHasWrittenIsNotWritten) {
  Device d;
  const Address from = d.alloc(8, "from"), to = put<std::uint32_t>(d, {1, 2}, "to");
  d.copy_in(from, raw(std::uint32_t{5}));
  d.copy(to, from, 8);
  EXPECT_EQ(get<std::uint32_t>(d, to, 2), (std::vector<std::uint32_t>{5, ~0u}));
  EXPECT_EQ(d.unwritten(to, 8), 4u);
}

TEST(GlobalMemory, WhatHasBeenFreedIsCalledSo) {
  Device d;
  const Address gone = put<std::uint32_t>(d, {1, 2}, "gone"), other = d.alloc(8, "other");
  d.free(gone);
  EXPECT_THAT(finding(d, "ld.global.u32 %r0, [%p0+4];", gone),
              HasSubstr("at byte 4 of 'gone' (8 bytes), which has been freed"));
  EXPECT_THAT(finding(d, "ld.global.u32 %r0, [%p0+-8];", other),
              HasSubstr("8 bytes before 'other' (8 bytes)"));
  EXPECT_EQ(d.where(0), "a null pointer");
  EXPECT_EQ(d.where(16), "a null pointer and 16 bytes");
  EXPECT_THAT(d.where(0x7ffd'0000'1000), HasSubstr("near no allocation"));
}

TEST(GlobalMemory, PrintfOfAKernelIsNoFault) {
  Device d;
  const Address out = d.alloc(4, "out");
  EXPECT_EQ(finding(d,
                    "{ .param .b64 p; .param .b64 q; .param .b32 r; st.param.b64 [p], %p0; "
                    "st.param.b64 [q], 0; call.uni (r), vprintf, (p, q); ld.param.b32 %r0, [r]; } "
                    "st.global.u32 [%p0], 3;",
                    out),
            "none");
  EXPECT_EQ(get<std::uint32_t>(d, out, 1)[0], 3u);
}

}  // namespace
}  // namespace flashbench::ptx
