#include "app/bench/changing_inputs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "data/inputs.h"

namespace flashbench::app {
namespace {

std::string bytes_of(const Tensor& t) { return {static_cast<const char*>(t.data()), t.bytes()}; }
std::string bytes_of(const Inputs& in) {
  return bytes_of(in.q) + bytes_of(in.k) + bytes_of(in.v) + bytes_of(in.d_o) +
         bytes_of(in.pages.k) + bytes_of(in.pages.v);
}

std::vector<Problem> problems() {
  Problem plain;
  plain.shape = {2, 4, 2, 5, 7, 3};
  plain.pass = Pass::kBoth;
  plain.d_o = GradSource::kRandom;
  Problem half = plain;
  half.dtype = Dtype::kBf16;
  Problem constant = plain;
  constant.values = Values::kConstant;
  Problem paged = plain;
  paged.pass = Pass::kForward;
  paged.page_size = 4;
  Problem eight = paged;
  eight.page_size = 0;
  eight.own_kv_dtype = Dtype::kE4m3;
  Problem ragged = plain;
  ragged.ragged = Ragged::kLengths;
  ragged.shape.set(Sequences::of({{3, 2}, {0, 4}, {1, 1}}));
  return {plain, half, constant, paged, eight, ragged};
}

TEST(ChangingInputs, EveryChangeIsAnotherOneAndComesBack) {
  for (const Problem& p : problems()) {
    Inputs in = data::make_inputs(p);
    const std::string first = bytes_of(in);
    {
      ChangingInputs changing(in);
      for (int i = 0; i < 20; ++i) {
        changing.change();
        EXPECT_TRUE(i > 0 || bytes_of(in) != first) << "the first one, in any case";
      }
      changing.restore();
      EXPECT_EQ(bytes_of(in), first);
      changing.change();
    }
    EXPECT_EQ(bytes_of(in), first) << "whatever happens";
  }
}

// A replay of what was computed before is to be far from right, whatever the values are.
TEST(ChangingInputs, TheFirstChangeTurnsV) {
  for (const Problem& p : problems()) {
    Inputs in = data::make_inputs(p);
    const Tensor& v = p.paged() ? in.pages.v : in.v;
    const auto sum = [&] {
      double all = 0;
      for (std::int64_t i = 0; i < v.count(); ++i) all += std::isnan(v.at(i)) ? 0 : v.at(i);
      return all;
    };
    const double before = sum();
    ChangingInputs changing(in);
    changing.change();
    const double after = sum();
    EXPECT_NEAR(after, -before, 1e-3 * std::abs(before) + 1e-3);
  }
}

// What lies behind the last key of a page, or in a row that nobody sees, may be anything.
TEST(ChangingInputs, NothingComesWhereItIsSeen) {
  Problem p;
  p.shape = {1, 1, 1, 4, 6, 2};
  Inputs in = data::make_inputs(p);
  in.k.set(11, std::numeric_limits<float>::quiet_NaN());
  ChangingInputs changing(in);
  for (int i = 0; i < 20; ++i) {
    changing.change();
    EXPECT_TRUE(std::isnan(in.k.at(11)));
  }
}

TEST(ChangingInputs, ScoresStayAsLargeAsTheyAre) {
  Problem p;
  p.shape = {1, 1, 1, 6, 6, 4};
  p.values = Values::kPositive;
  Inputs in = data::make_inputs(p);
  ChangingInputs changing(in);
  for (int i = 0; i < 20; ++i) {
    changing.change();
    EXPECT_GT(in.q.at(0) * in.k.at(0), 0) << "Q and K change their sign together";
  }
}

}  // namespace
}  // namespace flashbench::app
