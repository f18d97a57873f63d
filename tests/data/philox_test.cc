#include "data/philox.h"

#include <gtest/gtest.h>

namespace flashbench::data {
namespace {

struct KnownAnswer {
  const char* name;
  PhiloxCounter counter;
  PhiloxKey key;
  PhiloxCounter want;
};

// The vectors that Random123 1.14 ships as `kat_vectors`, lines "philox4x32 10".
constexpr KnownAnswer kKnownAnswers[] = {
    {"zeros", {0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {"ones",
     {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {"digits_of_pi",
     {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

TEST(Philox, GivesThePublishedKnownAnswers) {
  for (const KnownAnswer& known : kKnownAnswers)
    EXPECT_EQ(philox4x32_10(known.counter, known.key), known.want) << known.name;
}

TEST(Philox, KeyTakesBothHalvesOfTheSeed) {
  EXPECT_EQ(philox_key(0x299f31d0a4093822u), (PhiloxKey{0xa4093822, 0x299f31d0}));
}

}  // namespace
}  // namespace flashbench::data
