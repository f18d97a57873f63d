#include "app/check/check_suite.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

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
  std::set<std::string> shorter;
  for (std::size_t i = 0; i < on_gpu.size(); ++i) {
    EXPECT_EQ(on_gpu[i].name, emulated[i].name);
    const Shape &of_gpu = on_gpu[i].request.problem.shape, &s = emulated[i].request.problem.shape;
    EXPECT_EQ(s.d, of_gpu.d);
    if (s == of_gpu) continue;
    EXPECT_LT(s.queries(), of_gpu.queries()) << on_gpu[i].name;
    EXPECT_LT(s.keys(), of_gpu.keys()) << on_gpu[i].name;
    EXPECT_GE(s.q_len, 257) << on_gpu[i].name << ": three tiles of 128 queries";
    EXPECT_GE(s.keys(), 385) << on_gpu[i].name << ": four tiles of 128 keys";
    shorter.insert(on_gpu[i].row.substr(0, on_gpu[i].row.find("_paper")));
  }
  for (const char* row :
       {"real_size", "window_over_many_tiles", "softcap_over_many_tiles", "sinks_over_many_tiles",
        "alibi_over_many_tiles", "value_dim_over_many_tiles", "sequences_over_many_tiles"})
    EXPECT_EQ(shorter.erase(row), 1u) << row;
  EXPECT_TRUE(shorter.empty()) << *shorter.begin();
}

}  // namespace
}  // namespace flashbench::app
