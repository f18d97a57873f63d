#include "sweep/expand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "system/error.h"

namespace flashbench::sweep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

using Given = std::vector<std::pair<std::string, std::string>>;

Settings settings(const Given& flags) {
  Settings out;
  for (const auto& [name, value] : flags) out[name] = {{value}, "--" + name};
  return out;
}

std::vector<Group> expand_flags(const Given& flags, const Defaults& defaults = {}) {
  return expand({settings(flags), {}}, defaults);
}

std::string error_of(const Given& flags) {
  try {
    expand_flags(flags);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "(no UsageError)";
}

TEST(Expand, NothingGivenIsTheOriginsWorkload) {
  const auto groups = expand_flags({});
  ASSERT_EQ(groups.size(), 1u);
  ASSERT_EQ(groups[0].cases.size(), 1u);
  EXPECT_EQ(groups[0].problem().shape, (Shape{1, 2, 2, 4096, 4096, 512}));
}

TEST(Expand, KvLenFollowsQLenAndKvHeadsFollowHeadsCaseByCase) {
  const auto groups = expand_flags({{"q_len", "1k,2k"}, {"h", "2,4"}});
  ASSERT_EQ(groups.size(), 4u);
  for (const Group& g : groups) {
    EXPECT_EQ(g.problem().shape.kv_len, g.problem().shape.q_len);
    EXPECT_EQ(g.problem().shape.h_kv, g.problem().shape.h);
  }
}

TEST(Expand, GivenKvLenDoesNotFollow) {
  const auto groups = expand_flags({{"q_len", "1,2"}, {"kv_len", "8"}});
  for (const Group& g : groups) EXPECT_EQ(g.problem().shape.kv_len, 8);
}

TEST(Expand, TheWidthOfValuesFollowsThatOfQueriesUnlessGiven) {
  for (const Group& g : expand_flags({{"d", "64,96"}}))
    EXPECT_EQ(g.problem().shape.d_v(), g.problem().shape.d);
  const auto groups = expand_flags({{"d", "64,96"}, {"d_v", "64,128"}});
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_THAT(flags(groups[0].problem()), Not(HasSubstr("d_v")));  // it is the usual one
  EXPECT_THAT(flags(groups[3].problem()), HasSubstr("--d 96 --d_v 128"));
}

TEST(Expand, TypesToCompareShareAGroupSoThatTheyAreInterleaved) {
  const auto groups =
      expand_flags({{"type", "flash,normal"}, {"isa", "scalar,avx2"}, {"q_len", "64,128"}});
  ASSERT_EQ(groups.size(), 2u);
  std::vector<std::string> order;
  for (const Case& c : groups[0].cases)
    order.push_back(std::string(name(*c.isa)) + " " + std::string(name(c.type)));
  EXPECT_THAT(order, ElementsAre("scalar flash", "scalar normal", "avx2 flash", "avx2 normal"));
  EXPECT_EQ(groups[0].problem().shape.q_len, 64);
  EXPECT_EQ(groups[1].problem().shape.q_len, 128);
}

TEST(Expand, ABareSwitchIsTrueAndAListSweeps) {
  EXPECT_TRUE(expand_flags({{"causal", ""}})[0].problem().causal);
  const auto groups = expand_flags({{"causal", "true,false"}});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_TRUE(groups[0].problem().causal);
  EXPECT_FALSE(groups[1].problem().causal);
}

TEST(Expand, CasesThatDifferInNothingAreKeptOnce) {
  // Without a random mask --mask_keep changes nothing; without `paper` a block changes nothing.
  EXPECT_EQ(expand_flags({{"mask", "none,random"}, {"mask_keep", "0.3,0.7"}}).size(), 3u);
  EXPECT_EQ(expand_flags({{"window_left", "none,0,1k:4k:x2"}, {"window_right", "none,7"}}).size(),
            10u);
  const auto groups = expand_flags({{"type", "flash,paper"}, {"q_block", "16,32"}});
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].cases.size(), 3u);
  EXPECT_EQ(expand_flags({{"q_len", "64,64"}}).size(), 1u);
}

// Else it would be measured twice, under two names that compare could not match.
TEST(Expand, NoKeyOnTheRightIsCausalUnderOneName) {
  const std::string causal = flags(expand_flags({{"causal", ""}})[0].problem());
  for (const Given& given : std::vector<Given>{{{"window_right", "0"}},
                                               {{"window_right", "0"}, {"causal", ""}},
                                               {{"window_right", "0"}, {"causal", "true,false"}},
                                               {{"window_right", "0,none"}, {"causal", "true"}}}) {
    const auto groups = expand_flags(given);
    ASSERT_EQ(groups.size(), 1u);
    EXPECT_EQ(flags(groups[0].problem()), causal);
    EXPECT_TRUE(groups[0].problem().causal);
    EXPECT_FALSE(groups[0].problem().window_right);
  }
  const auto left = expand_flags({{"window_left", "7"}, {"window_right", "0,1"}});
  ASSERT_EQ(left.size(), 2u);
  EXPECT_THAT(flags(left[0].problem()),
              AllOf(HasSubstr("--causal --window_left 7"), Not(HasSubstr("window_right"))));
  EXPECT_THAT(flags(left[1].problem()),
              AllOf(HasSubstr("--window_left 7 --window_right 1"), Not(HasSubstr("causal"))));
}

TEST(Expand, ZipPointsAreSweptOneByOneWithTheRest) {
  SweepPlan plan;
  plan.base = settings({{"q_len", "64,128"}});
  plan.zip = {settings({{"h", "32"}, {"h_kv", "8"}, {"d", "128"}}), settings({{"h", "12"}})};
  const auto groups = expand(plan, Defaults{});
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_EQ(groups[1].problem().shape, (Shape{1, 32, 8, 128, 128, 128}));
  EXPECT_EQ(groups[3].problem().shape, (Shape{1, 12, 12, 128, 128, 512}));
}

TEST(Expand, AKernelBringsItsTypeUnlessTypeDecides) {
  Defaults defaults;
  defaults.types = {AttentionType::kFlash, AttentionType::kNormal};
  defaults.type_of_kernel = [](const std::string& kernel) -> std::optional<AttentionType> {
    if (kernel == "cpu_normal") return AttentionType::kNormal;
    return std::nullopt;
  };
  const auto alone = expand_flags({{"kernel", "cpu_normal"}}, defaults);
  ASSERT_EQ(alone[0].cases.size(), 1u);
  EXPECT_EQ(alone[0].cases[0].type, AttentionType::kNormal);
  const auto both = expand_flags({{"kernel", "cpu_normal"}, {"type", "flash"}}, defaults);
  EXPECT_EQ(both[0].cases[0].type, AttentionType::kFlash);
}

TEST(Expand, AMaskFileWithACommaInItsNameIsOneFile) {
  const std::string path = ::testing::TempDir() + "/mask,1.npy";
  std::ofstream(path) << "x";
  const auto groups = expand_flags({{"mask", path}});
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].problem().files.mask, path);
  EXPECT_EQ(expand_flags({{"mask", "none,random,m.npy"}}).size(), 3u);
}

TEST(Expand, BackendsAreThoseThatTheCommandHasAndOnlySomeHaveDevices) {
  Defaults defaults;
  defaults.backends = {{.id = {"cpu"}, .title = "CPU"},
                       {.id = {"slate"}, .title = "Slate", .device_noun = "chalk"}};
  const auto error = [&](const Given& flags) {
    try {
      expand_flags(flags, defaults);
    } catch (const UsageError& e) {
      return std::string(e.what());
    }
    return std::string("(no UsageError)");
  };
  EXPECT_EQ(expand_flags({{"backend", "auto,slate"}}, defaults)[0].cases[1].backend,
            BackendId{"slate"});
  EXPECT_THAT(error({{"backend", "slat"}}), HasSubstr("auto, cpu or slate"));
  EXPECT_THAT(error({{"device", "0"}, {"backend", "cpu"}}), HasSubstr("--backend cpu has none"));
  EXPECT_EQ(error({{"device", "0"}, {"backend", "slate"}}), "(no UsageError)");
}

TEST(Expand, ContradictionsAreRefusedWithWhatWouldBeRight) {
  EXPECT_THAT(error_of({{"h", "8"}, {"h_kv", "3"}}), HasSubstr("use one of 1, 2, 4, 8"));
  EXPECT_THAT(error_of({{"mask_keep", "0.3"}}), HasSubstr("needs --mask random"));
  EXPECT_THAT(error_of({{"q_block", "16"}}), HasSubstr("--type paper"));
  EXPECT_THAT(error_of({{"type", "flsh"}}), HasSubstr("did you mean 'flash'"));
  EXPECT_THAT(error_of({{"dtype", ""}}), HasSubstr("--dtype needs a value"));
  EXPECT_THAT(error_of({{"d", "1025"}}), HasSubstr("1024"));
  EXPECT_THAT(error_of({{"b", "2147483647"}, {"h", "2147483647"}}), HasSubstr("elements"));
  EXPECT_THAT(error_of({{"q_len", "1:8k:+1"}, {"h", "1,2"}}), HasSubstr("more than 10000 cases"));
}

TEST(Expand, AFlagIsIdleOnlyWhereNoZipPointUsesIt) {
  SweepPlan plan{settings({{"mask_keep", "0.3"}}),
                 {settings({{"mask", "random"}}), settings({{"mask", "none"}})}};
  const auto groups = expand(plan, Defaults{});
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].problem().mask_keep, 0.3);
  plan.zip[1] = settings({{"mask", "none"}, {"q_block", "32"}});
  EXPECT_THAT([&] { expand(plan, Defaults{}); }, ThrowsMessage<UsageError>(HasSubstr("--q_block")));
  plan.zip = {settings({{"q_len", "8"}}), settings({{"q_len", "16"}})};
  EXPECT_THAT([&] { expand(plan, Defaults{}); },
              ThrowsMessage<UsageError>(HasSubstr("--mask_keep needs --mask random")));
}

TEST(Expand, WhatIsOfTensorsThatNobodyReadsIsRefused) {
  EXPECT_THAT(error_of({{"q_name", "query"}}), HasSubstr("--q_name needs --input"));
  EXPECT_THAT(error_of({{"mask", "m.npy"}, {"k_name", "key"}}),
              HasSubstr("--k_name needs --input"));
  EXPECT_THAT(error_of({{"mask", "random"}, {"mask_name", "m"}}), HasSubstr("--mask FILE"));
  EXPECT_THAT(error_of({{"do", "random"}, {"pass", "both"}, {"do_name", "g"}}),
              HasSubstr("--do FILE"));
  EXPECT_THAT(error_of({{"mask", "m.npy"}, {"layout", "bshd"}}), HasSubstr("--layout needs"));
  EXPECT_THAT(error_of({{"do", "random"}, {"pass", "forward"}}),
              HasSubstr("--do is for gradients"));
  EXPECT_EQ(expand_flags({{"do", "random"}, {"pass", "forward,both"}}).size(), 2u)
      << "one pass of a sweep has a use for it";
}

// The line that reproduced a mask of a file read another tensor of it, or none.
TEST(Expand, ALineThatReproducesACaseIsReadAsThatCase) {
  const std::vector<Given> asked = {
      {{"mask", "m.npy"}, {"mask_name", "keep"}},
      {{"do", "g.npy"}, {"pass", "both"}, {"do_name", "grad"}, {"layout", "bshd"}},
      {{"input", "b"}, {"q_name", "query"}, {"mask_name", "keep"}, {"do_name", "grad"}},
      {{"q", "a"}, {"k", "b"}, {"v", "c"}, {"v_name", "x"}, {"layout", "bshd"}, {"mask", "random"}},
      {{"mask", "random"}, {"mask_keep", "0.25"}, {"scale", "-0.5"}, {"seed", "7"}},
      {{"window_left", "5"}, {"window_right", "3"}, {"q_len", "9"}},
      {{"d", "192"}, {"d_v", "128"}},
      {{"type", "paper"}, {"q_block", "7"}, {"kv_block", "9"}, {"cache", "cold"}, {"h_kv", "1"}},
  };
  for (const Given& given : asked) {
    const Case c = expand_flags(given).at(0).cases.at(0);
    Given said;
    std::istringstream line(flags(c));
    for (std::string flag, value; line >> flag >> value;) said.emplace_back(flag.substr(2), value);
    const Case again = expand_flags(said).at(0).cases.at(0);
    EXPECT_EQ(flags(again), flags(c));
    EXPECT_EQ(case_key(record_of(again)), case_key(record_of(c)));
    for (const auto& [name, value] : given)
      EXPECT_THAT(flags(c) + " ", HasSubstr("--" + name + " ")) << value;
  }
}

TEST(RequireSingle, NamesTheFlagThatHasTwoValues) {
  try {
    require_single({settings({{"q_len", "64"}, {"h", "1:4:x2"}}), {}}, "forward");
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(), HasSubstr("--h takes one value in forward, got 3"));
  }
  EXPECT_NO_THROW(require_single({settings({{"q_len", "64"}}), {}}, "forward"));
}

TEST(CaseFlags, NameEverythingThatDiffersFromTheDefault) {
  const auto groups = expand_flags(
      {{"type", "paper"}, {"q_block", "16"}, {"threads", "2"}, {"isa", "scalar"}, {"h", "4"}});
  EXPECT_THAT(flags(groups[0].cases[0]),
              HasSubstr("--type paper --isa scalar --threads 2 --q_block 16"));
}

}  // namespace
}  // namespace flashbench::sweep
