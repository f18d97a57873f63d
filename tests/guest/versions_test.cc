// Compiled with today's header, and once more, the program's own sources too, with one of tomorrow.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/inputs.h"
#include "guest/call.h"
#include "guest/plugin.h"
#include "guest/protocol.h"
#include "system/error.h"

namespace flashbench::guest {
namespace {

std::string library(const std::string& name) { return FLASHBENCH_PLUGINS "/" + name + ".so"; }

Problem problem() {
  Problem p;
  p.shape = {1, 2, 2, 3, 5, 8};
  p.causal = true;
  return p;
}

Execution one_thread() {
  Execution e;
  e.threads = 1;
  return e;
}

/// O of one query, by the definition.
std::vector<double> expected(const Problem& p, const Inputs& in, std::int64_t h, std::int64_t i) {
  const Shape& s = p.shape;
  std::vector<double> o(static_cast<std::size_t>(s.d));
  double sum = 0;
  for (std::int64_t j = 0; j <= i + s.kv_len - s.q_len; ++j) {
    double score = 0;
    for (std::int64_t d = 0; d < s.d; ++d)
      score += double{in.q.at(0, h, i, d)} * in.k.at(0, h, j, d);
    const double weight = std::exp(score * p.softmax_scale());
    sum += weight;
    for (std::int64_t d = 0; d < s.d; ++d)
      o[static_cast<std::size_t>(d)] += weight * in.v.at(0, h, j, d);
  }
  for (double& x : o) x /= sum;
  return o;
}

class ServedPlugin : public testing::TestWithParam<const char*> {};

TEST_P(ServedPlugin, ComputesWhatItIsAsked) {
  const Problem p = problem();
  const Inputs in = data::make_inputs(p);
  const Placement in_place = place_inputs(p, in), out_place = place_outputs(p);
  SharedMemory in_memory(in_place.bytes), out_memory(out_place.bytes);
  copy_inputs(in, in_place, in_memory, Given::kForward);
  poison(out_memory);

  Plugin plugin(library(GetParam()), PluginAbi::kFlashbenchKernel);
  ASSERT_EQ(plugin.kernels().size(), 1u);
  EXPECT_EQ(plugin.kernels()[0].name, "online_softmax");
  const nlohmann::json asked = problem_message(p, one_thread());
  ASSERT_EQ(plugin.ask(0, asked).status, Status::kOk);
  const Answer planned = plugin.plan(0, 1, asked, {&in_place, &in_memory, &out_place, &out_memory});
  ASSERT_EQ(planned.status, Status::kOk) << planned.why;
  EXPECT_EQ(planned.writes_lse, true);
  EXPECT_FALSE(planned.flop_executed) << "it does not know";
  const int ids[] = {1};
  const Answer ran = plugin.run(ids, 2);
  ASSERT_EQ(ran.status, Status::kOk) << ran.why;

  Outputs out = data::make_outputs(p);
  collect_outputs(out_memory, out_place, out);
  for (std::int64_t h = 0; h < p.shape.h; ++h)
    for (std::int64_t i = 0; i < p.shape.q_len; ++i) {
      const std::vector<double> o = expected(p, in, h, i);
      for (std::int64_t d = 0; d < p.shape.d; ++d)
        EXPECT_NEAR(out.o.at(0, h, i, d), o[static_cast<std::size_t>(d)], 1e-5);
    }
}

TEST_P(ServedPlugin, RefusesAFeatureThatItDoesNotKnow) {
  void* opened = ::dlopen(library(GetParam()).c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(opened, nullptr) << ::dlerror();
  const auto symbol = reinterpret_cast<const fbk_kernel* (*)(std::uint32_t, std::uint32_t)>(
      ::dlsym(opened, "flashbench_kernel"));
  fbk_problem p = problem_of(problem_message(problem(), one_thread()));
  fbk_host host{};
  host.struct_size = sizeof host;
  for (int bit = 0; bit < 32; ++bit) {
    p.features = 1u << bit;
    if (p.features <= FBK_DETERMINISTIC) continue;  // a GPU is a later one to them, too
    fbk_plan* plan = nullptr;
    std::size_t workspace = 0;
    std::array<char, 200> why{};
    EXPECT_EQ(symbol(FBK_VERSION, 0)->plan(&host, &p, &plan, &workspace, why.data(), why.size()),
              FBK_UNSUPPORTED);
    EXPECT_NE(why[0], '\0');
  }
}

INSTANTIATE_TEST_SUITE_P(, ServedPlugin,
                         testing::Values("version_1", "version_today", "version_tomorrow"),
                         [](const auto& param) { return std::string(param.param); });

std::string refusal(const std::string& name) try {
  const Plugin plugin(library(name), PluginAbi::kFlashbenchKernel);
  return "none";
} catch (const UsageError& e) {
  return e.what();
}

TEST(Versions, AnotherVersionIsRefusedInALine) {
  EXPECT_THAT(refusal("version_2"),
              testing::EndsWith("version_2.so' has no kernel for version 1 of the interface"));
  EXPECT_THAT(refusal("version_2_blind"),
              testing::EndsWith("version_2_blind.so': kernel 0 is of version 2 of the interface; "
                                "this program serves 1"));
  EXPECT_THAT(refusal("version_short"),
              testing::EndsWith("version_short.so': kernel 0 says that fbk_kernel has 72 bytes"));
}

// A plug-in knows by it what it may read.
TEST(Versions, StructsSayTheirSize) {
  EXPECT_EQ(problem_of(problem_message(problem(), one_thread())).struct_size, sizeof(fbk_problem));
  EXPECT_EQ(Tensors().call().struct_size, sizeof(fbk_call));
}

}  // namespace
}  // namespace flashbench::guest
