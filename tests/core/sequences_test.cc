// Rows of a ragged batch: every one has a place of its own, and every pair within a sequence
// counts.
#include "core/sequences.h"

#include <gtest/gtest.h>

#include "core/batch_element.h"
#include "core/visibility.h"
#include "core/work.h"

namespace flashbench {
namespace {

Problem ragged(const std::vector<SequenceLengths>& lengths) {
  Problem p;
  p.shape = {.h = 4, .h_kv = 2, .d = 8};
  p.ragged = Ragged::kLengths;
  p.shape.set(Sequences::of(lengths));
  return p;
}

const std::vector<SequenceLengths> kSome = {{3, 5}, {0, 4}, {1, 0}, {7, 2}, {0, 0}, {2, 2}};

TEST(Sequences, OfEqualLengthsAreOneObject) {
  EXPECT_EQ(Sequences::of(kSome), Sequences::of(kSome));
  EXPECT_NE(Sequences::of(kSome), Sequences::of({{3, 5}}));
  EXPECT_EQ(ragged(kSome).shape, ragged(kSome).shape);
}

TEST(Sequences, OfAShapeSayHowManyAndHowLong) {
  const Shape s = ragged(kSome).shape;
  EXPECT_EQ(s.b, 6);
  EXPECT_EQ(s.q_len, 7);
  EXPECT_EQ(s.kv_len, 5);
  EXPECT_EQ(s.queries(), 13);
  EXPECT_EQ(s.keys(), 13);
  EXPECT_EQ(s.q_dims().count(), 13 * 4 * 8);
  EXPECT_EQ(s.k_dims().count(), 13 * 2 * 8);
}

TEST(Sequences, RowsLieOneBehindTheOtherAndPlacesFindThem) {
  for (const Dims& dims :
       {ragged(kSome).shape.q_dims(), ragged(kSome).shape.v_dims(), Dims{3, 2, 5, 8}}) {
    std::int64_t row = 0;
    for (std::int64_t b = 0; b < dims.b; ++b)
      for (std::int64_t h = 0; h < dims.h; ++h)
        for (std::int64_t r = 0; r < dims.rows_of(b); ++r, ++row) {
          ASSERT_EQ(dims.index(b, h, r, 3), row * dims.d + 3);
          const Dims::Place place = dims.place(row);
          ASSERT_TRUE(place.b == b && place.h == h && place.row == r) << row;
        }
    EXPECT_EQ(row, dims.all_rows());
  }
}

TEST(Sequences, AreCountedAsSoManyProblems) {
  for (const bool causal : {false, true}) {
    Problem p = ragged(kSome);
    p.causal = causal;
    p.window_left = 1;
    double pairs = 0, keys = 0;
    for (std::int64_t b = 0; b < p.shape.b; ++b) {
      const Problem one = sequence(p, b);
      EXPECT_EQ(one.ragged, Ragged::kNone);
      pairs += count_visible(one, {}).pairs;
      keys += count_visible(one, {}).kv_rows;
    }
    EXPECT_EQ(count_visible(p, {}).pairs, pairs);
    EXPECT_EQ(count_visible(p, {}).kv_rows, keys);
    EXPECT_GT(pairs, 0);
  }
  EXPECT_EQ(all_pairs(ragged(kSome).shape), 4 * (15 + 14 + 4));
}

TEST(Sequences, WithoutQueriesKeepNoKey) {
  const std::vector<Visibility> sees = visibilities({}, ragged(kSome));
  EXPECT_EQ(sees[0].kept().count(), 5);
  EXPECT_EQ(sees[1].kept().count(), 0);
  EXPECT_EQ(sees[2].kept().count(), 0);
}

TEST(Sequences, OfATensorAreTensorsOverItsMemory) {
  const Problem p = ragged(kSome);
  Inputs in;
  in.q = Tensor(Dtype::kF32, p.shape.q_dims());
  for (std::int64_t i = 0; i < in.q.count(); ++i) in.q.set(i, static_cast<float>(i));
  in.alibi_slopes.resize(24);
  for (std::size_t i = 0; i < 24; ++i) in.alibi_slopes[i] = static_cast<float>(i);
  const Inputs one = batch_element(p, in, 3);
  EXPECT_EQ(one.q.dims(), (Dims{1, 4, 7, 8}));
  EXPECT_EQ(one.q.at(0, 2, 5, 1), in.q.at(3, 2, 5, 1));
  EXPECT_EQ(one.q.data(), in.q.as<float>() + in.q.dims().index(3, 0, 0, 0));
  EXPECT_EQ(one.alibi_slopes, (std::vector<float>{12, 13, 14, 15}));
  EXPECT_TRUE(batch_element(p, in, 1).q.empty());
}

TEST(Sequences, GoNotWithMasksOrBiases) {
  Problem p = ragged(kSome);
  EXPECT_FALSE(invalid(p));
  p.padding = PaddingMask::kRandom;
  EXPECT_NE(invalid(p)->reason.find("--ragged and --mask"), std::string::npos);
  p.padding = PaddingMask::kNone;
  p.bias = Bias::kRandom;
  EXPECT_NE(invalid(p)->reason.find("--ragged and --bias"), std::string::npos);
}

}  // namespace
}  // namespace flashbench
