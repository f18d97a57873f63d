#include "app/bench/changing_inputs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

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

// A kernel that keeps P and moves it with its rows would be right, at half of the work; and of one
// query a table of the results for every place where the keys can begin.
TEST(ChangingInputs, ScoresAreOtherOnes) {
  Problem p;
  p.shape = {1, 1, 1, 1, 40, 32};
  Inputs in = data::make_inputs(p);
  const auto scores = [&] {
    std::vector<double> all;
    for (std::int64_t j = 0; j < 40; ++j) {
      double s = 0;
      for (std::int64_t i = 0; i < 32; ++i) s += in.q.at(i) * in.k.at(j * 32 + i);
      all.push_back(std::abs(s));
    }
    std::sort(all.begin(), all.end());
    return all;
  };
  const std::vector<double> before = scores();
  ChangingInputs changing(in);
  for (int i = 0; i < 10; ++i) {
    changing.change();
    const std::vector<double> after = scores();
    int same = 0;
    for (std::size_t j = 0; j < before.size(); ++j)
      same += std::abs(after[j] - before[j]) < 1e-6 ? 1 : 0;
    EXPECT_LT(same, 5);
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

// Of other magnitudes another amount of work might come: subnormal numbers, what is too large for
// a dtype, values without a number.
TEST(ChangingInputs, MagnitudesStayAsTheyAre) {
  Problem p;
  p.shape = {1, 1, 1, 6, 6, 4};
  Inputs in = data::make_inputs(p);
  const auto magnitudes = [](const Tensor& t) {
    std::vector<double> all;
    for (std::int64_t i = 0; i < t.count(); ++i) all.push_back(std::abs(t.at(i)));
    std::sort(all.begin(), all.end());
    return all;
  };
  const std::vector<double> q = magnitudes(in.q), k = magnitudes(in.k), v = magnitudes(in.v);
  ChangingInputs changing(in);
  for (int i = 0; i < 20; ++i) {
    changing.change();
    EXPECT_EQ(magnitudes(in.q), q);
    EXPECT_EQ(magnitudes(in.k), k);
    EXPECT_EQ(magnitudes(in.v), v);
  }
}

}  // namespace
}  // namespace flashbench::app
