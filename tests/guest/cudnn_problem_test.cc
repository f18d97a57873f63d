#include "guest/plugins/cudnn_problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cudnn_plugin {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

fbk_problem problem(std::uint32_t features = 0, std::int64_t q_len = 4, std::int64_t kv_len = 6) {
  fbk_problem p{};
  p.struct_size = sizeof p;
  p.features = FBK_GPU | features;
  p.pass = FBK_FORWARD | FBK_BACKWARD;
  p.device = {FBK_CUDA, 0};
  p.dtype = p.kv_dtype = {FBK_BFLOAT, 16, 1};
  p.b = 2;
  p.h = 4;
  p.h_kv = 2;
  p.q_len = q_len;
  p.kv_len = kv_len;
  p.d = 16;
  p.d_v = 8;
  p.window_left = p.window_right = -1;
  return p;
}

std::string refusal(const fbk_problem& p) {
  const char* why = refuses(p);
  return why == nullptr ? "" : why;
}

TEST(CudnnProblem, WhatItIsNotToldIsRefused) {
  EXPECT_EQ(refusal(problem()), "");
  for (const std::uint32_t feature : {FBK_SOFTCAP, FBK_ALIBI, FBK_BIAS, FBK_BIAS_GRADIENT,
                                      FBK_SINKS, FBK_KV_DTYPE, FBK_VALUES_IN_KEYS, FBK_PAGES})
    EXPECT_NE(refusal(problem(feature)), "") << feature;
  for (int bit = 15; bit < 32; ++bit)
    EXPECT_THAT(refusal(problem(std::uint32_t{1} << bit)), HasSubstr("does not know")) << bit;
  for (const std::uint32_t feature :
       {FBK_CAUSAL, FBK_KEY_MASK, FBK_WINDOW, FBK_VALUE_DIM, FBK_RAGGED, FBK_DETERMINISTIC})
    EXPECT_EQ(refusal(problem(feature)), "") << feature;
}

TEST(CudnnProblem, ProcessorsAreToldHow) {
  fbk_problem p = problem();
  p.features = 0;
  p.device = {FBK_CPU, 0};
  EXPECT_EQ(refusal(p), "add --backend cuda");
  p = problem();
  p.device = {FBK_CPU, 0};
  EXPECT_EQ(refusal(p), "add --backend cuda");
}

TEST(CudnnProblem, OtherNumbersAreRefused) {
  fbk_problem p = problem();
  p.dtype = {FBK_FLOAT, 16, 1};
  EXPECT_EQ(refusal(p), "");
  for (const fbk_dtype dtype :
       {fbk_dtype{FBK_FLOAT, 32, 1}, fbk_dtype{FBK_INT, 16, 1}, fbk_dtype{FBK_E4M3FN, 8, 1}}) {
    p.dtype = dtype;
    EXPECT_EQ(refusal(p), "bf16 and f16 alone");
  }
  p = problem();
  p.d_v = 12;
  EXPECT_THAT(refusal(p), HasSubstr("multiples of 8"));
}

TEST(CudnnProblem, QueriesThatWouldSeeNothingAreRefused) {
  EXPECT_EQ(refusal(problem(0, 6, 4)), "");
  EXPECT_THAT(refusal(problem(FBK_CAUSAL, 6, 4)), HasSubstr("would see none"));
  EXPECT_EQ(refusal(problem(FBK_RAGGED | FBK_CAUSAL, 6, 4)), "") << "these are the longest ones";
  EXPECT_NE(refusal(problem(FBK_RAGGED | FBK_KEY_MASK)), "");
}

bool problem_shows(const fbk_problem& p, std::int64_t i, std::int64_t j) {
  const std::int64_t x = i + p.kv_len - p.q_len;
  if ((p.features & FBK_CAUSAL) != 0 && j > x) return false;
  if ((p.features & FBK_WINDOW) == 0) return true;
  return (p.window_left < 0 || j >= x - p.window_left) &&
         (p.window_right < 0 || j <= x + p.window_right);
}

/// As cuDNN's documents have it, for a sequence whose last keys are padding.
bool band_shows(const Band& band, std::int64_t q_len, std::int64_t kv_len, std::int64_t i,
                std::int64_t j) {
  const std::int64_t x = band.bottom_right ? i + kv_len - q_len : i;
  return (!band.left || j > x - *band.left) && (!band.right || j <= x + *band.right);
}

TEST(CudnnProblem, BoundsShowWhatTheProblemShows) {
  int compared = 0;
  for (const std::uint32_t features : {std::uint32_t{FBK_CAUSAL}, std::uint32_t{FBK_WINDOW},
                                       std::uint32_t{FBK_CAUSAL | FBK_WINDOW}})
    for (const std::uint32_t lengths : {0u, std::uint32_t{FBK_KEY_MASK}, std::uint32_t{FBK_RAGGED}})
      for (std::int64_t q_len = 1; q_len <= 5; ++q_len)
        for (std::int64_t kv_len = q_len; kv_len <= 7; ++kv_len)
          for (std::int64_t left = -1; left <= 8; ++left)
            for (std::int64_t right = -1; right <= 8; ++right) {
              fbk_problem p = problem(features | lengths, q_len, kv_len);
              p.window_left = left;
              p.window_right = right;
              if (refuses(p) != nullptr) continue;
              const Band band = band_of(p);
              // Padding moves the bottom right: with a mask the band must not stand there.
              const std::int64_t kept = lengths == FBK_KEY_MASK ? (kv_len + 1) / 2 : kv_len;
              for (std::int64_t i = 0; i < q_len; ++i)
                for (std::int64_t j = 0; j < kept; ++j, ++compared)
                  ASSERT_EQ(band_shows(band, q_len, kept, i, j), problem_shows(p, i, j))
                      << q_len << " x " << kv_len << ", window " << left << " " << right << ", "
                      << i << " " << j;
            }
  EXPECT_GT(compared, 10000);
}

TEST(CudnnProblem, DecodingHasNoBound) {
  const Band band = band_of(problem(FBK_CAUSAL, 1, 4096));
  EXPECT_FALSE(band.left || band.right);
}

TEST(CudnnProblem, MasksThatAreNoLengthsAreRefused) {
  const fbk_problem p = problem(FBK_KEY_MASK, 4, 3);
  Tables tables;
  const std::uint8_t lengths[] = {1, 1, 0, 1, 1, 1};
  EXPECT_EQ(lengths_of_mask(p, lengths, tables), nullptr);
  EXPECT_THAT(tables[kQueryLengths], ElementsAre(4, 4));
  EXPECT_THAT(tables[kKeyLengths], ElementsAre(2, 3));
  EXPECT_THAT(tables[kKeyOffsets], IsEmpty());
  const std::uint8_t hole[] = {1, 1, 1, 1, 0, 1};
  EXPECT_THAT(lengths_of_mask(p, hole, tables), HasSubstr("keep the first keys alone"));
  const std::uint8_t none[] = {1, 1, 1, 0, 0, 0};
  EXPECT_EQ(lengths_of_mask(p, none, tables), kSeesNoKey);
}

TEST(CudnnProblem, AWindowThatPaddingEmptiesIsRefused) {
  fbk_problem p = problem(FBK_KEY_MASK | FBK_WINDOW, 6, 6);
  p.b = 1;
  p.window_left = 2;  // the last query sees keys 3, 4 and 5
  Tables tables;
  const std::uint8_t four[] = {1, 1, 1, 1, 0, 0}, three[] = {1, 1, 1, 0, 0, 0};
  EXPECT_EQ(lengths_of_mask(p, four, tables), nullptr);
  EXPECT_EQ(lengths_of_mask(p, three, tables), kSeesNoKey);
}

TEST(CudnnProblem, SequencesBeginWhereTheirRowsDo) {
  Tables tables;
  const std::int32_t cu_q[] = {0, 3, 4}, cu_k[] = {0, 5, 7};
  EXPECT_EQ(tables_of_sequences(problem(FBK_RAGGED | FBK_CAUSAL), cu_q, cu_k, tables), nullptr);
  EXPECT_THAT(tables[kQueryLengths], ElementsAre(3, 1));
  EXPECT_THAT(tables[kKeyLengths], ElementsAre(5, 2));
  EXPECT_THAT(tables[kQueryOffsets], ElementsAre(0, 3 * 64, 4 * 64));
  EXPECT_THAT(tables[kKeyOffsets], ElementsAre(0, 5 * 32, 7 * 32));
  EXPECT_THAT(tables[kValueOffsets], ElementsAre(0, 5 * 16, 7 * 16));
  EXPECT_THAT(tables[kOutputOffsets], ElementsAre(0, 3 * 32, 4 * 32));
  EXPECT_THAT(tables[kLseOffsets], ElementsAre(0, 3 * 4, 4 * 4));
}

TEST(CudnnProblem, SequencesWithoutAnswersAreRefused) {
  Tables tables;
  const std::int32_t cu_q[] = {0, 3, 4}, cu_k[] = {0, 2, 4}, empty[] = {0, 0, 4};
  EXPECT_EQ(tables_of_sequences(problem(FBK_RAGGED | FBK_CAUSAL), cu_q, cu_k, tables), kSeesNoKey);
  EXPECT_EQ(tables_of_sequences(problem(FBK_RAGGED), cu_q, cu_k, tables), nullptr);
  EXPECT_THAT(tables_of_sequences(problem(FBK_RAGGED), empty, cu_k, tables), HasSubstr("empty"));
  EXPECT_THAT(tables_of_sequences(problem(FBK_RAGGED), cu_q, empty, tables), HasSubstr("empty"));
  const std::int32_t far[] = {0, 1 << 24, 1 << 26};
  EXPECT_THAT(tables_of_sequences(problem(FBK_RAGGED), far, far, tables), HasSubstr("32 bits"));
}

}  // namespace
}  // namespace cudnn_plugin
