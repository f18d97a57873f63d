#include "app/check/check_suite.h"

#include <gtest/gtest.h>

#include "registry/registry.h"

namespace flashbench::app {
namespace {

std::vector<NamedCase> cases_on(const std::string& device) {
  const sweep::Settings narrow = {{"backend", {{"cuda"}, "--backend"}},
                                  {"device", {{device}, "--device"}}};
  std::vector<NamedCase> cases;
  for (const NamedGroup& group : suite(narrow, registry::backends()))
    cases.insert(cases.end(), group.cases.begin(), group.cases.end());
  return cases;
}

// Minutes there, and nothing that fewer tiles do not show; but no case may be lost.
TEST(CheckSuite, RowsOfManyTilesAreShorterOnTheEmulatedDeviceAlone) {
  const std::vector<NamedCase> on_gpu = cases_on("0"), emulated = cases_on("emulated");
  ASSERT_EQ(on_gpu.size(), emulated.size());
  for (std::size_t i = 0; i < on_gpu.size(); ++i) {
    EXPECT_EQ(on_gpu[i].name, emulated[i].name);
    const Shape &of_gpu = on_gpu[i].request.problem.shape, &s = emulated[i].request.problem.shape;
    if (on_gpu[i].row != "real_size") continue;
    EXPECT_EQ(of_gpu.q_len, 1024);
    EXPECT_EQ(s.q_len, 400);
    EXPECT_EQ(s.d, of_gpu.d);
  }
}

}  // namespace
}  // namespace flashbench::app
