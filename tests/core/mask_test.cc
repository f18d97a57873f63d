#include "core/mask.h"

#include <gtest/gtest.h>

#include <random>

namespace flashbench {
namespace {

struct MaskCase {
  const char* guards_against;
  std::int64_t q_len, kv_len;
  bool causal;
  double keep;
};

constexpr MaskCase kCases[] = {
    {"square_causal_off_by_one", 9, 9, true, 1.0},
    {"more_keys_aligned_at_the_bottom", 3, 10, true, 1.0},
    {"more_queries_leave_empty_rows", 10, 3, true, 1.0},
    {"padding_alone", 5, 17, false, 0.5},
    {"padding_and_causal", 11, 17, true, 0.5},
    {"nothing_kept", 4, 6, true, 0.0},
    {"one_query", 1, 12, true, 0.7},
};

class MaskTest : public testing::TestWithParam<MaskCase> {};

TEST_P(MaskTest, CountsEqualTheLiteralDefinition) {
  const MaskCase& c = GetParam();
  std::mt19937 random(7);
  std::vector<std::uint8_t> mask;
  if (c.keep < 1.0)
    for (std::int64_t k = 0; k < c.kv_len; ++k)
      mask.push_back(std::bernoulli_distribution(c.keep)(random) ? 1 : 0);
  const Visibility v(mask, c.causal, c.q_len, c.kv_len);

  const auto sees = [&](std::int64_t q, std::int64_t k) {
    return (mask.empty() || mask[static_cast<std::size_t>(k)] != 0) &&
           (!c.causal || k <= q + c.kv_len - c.q_len);
  };
  for (std::int64_t q = 0; q < c.q_len; ++q) {
    std::int64_t count = 0;
    for (std::int64_t k = 0; k < c.kv_len; ++k) count += sees(q, k) ? 1 : 0;
    EXPECT_EQ(v.visible(q), count) << "q = " << q;
  }
  for (std::int64_t i = 0; i < v.kept().count(); ++i) {
    const std::int64_t key = v.kept().positions() == nullptr ? i : v.kept().positions()[i];
    std::int64_t first = 0;
    while (!sees(first, key)) ++first;
    EXPECT_EQ(v.first_query(i), first) << "kept key " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, MaskTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.guards_against; });

}  // namespace
}  // namespace flashbench
