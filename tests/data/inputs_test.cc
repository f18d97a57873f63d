#include "data/inputs.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "data/fill.h"
#include "data/input_files.h"
#include "data/layout.h"
#include "tests/data/bundles.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() &&
         std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

TEST(MakeInputs, NpyFilesAndTheBundleHoldTheSame) {
  const Inputs a = make_inputs(resolve(bundle(kData + "tiny_f32.safetensors"), {}));
  const Inputs b = make_inputs(resolve(npy_files(), {"mask", "do"}));
  EXPECT_TRUE(same(a.q, b.q) && same(a.k, b.k) && same(a.v, b.v) && same(a.d_o, b.d_o));
  EXPECT_EQ(a.key_mask, b.key_mask);
  EXPECT_THAT(a.key_mask, ElementsAre(1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1));
}

TEST(MakeInputs, TakesSeparateSafetensorsFiles) {
  Problem p;
  p.files.q = p.files.k = p.files.v = kData + "tiny_f32.safetensors";  // found by name
  p.shape = resolve(p, {}).shape;
  EXPECT_EQ(p.shape, kTiny);
  const Scratch scratch;
  p.files.q = scratch.path("one.safetensors");  // the only tensor, whatever its name
  write_safetensors(p.files.q, {zeros("layers.0.query", {2, 4, 5, 8})});
  EXPECT_EQ(make_inputs(p).q.at(0), 0.0f);
}

TEST(MakeInputs, AnyNonZeroByteOfAMaskKeeps) {
  const Scratch scratch;
  const std::string path = scratch.path("t.safetensors");
  write_safetensors(path,
                    {zeros("q", {1, 1, 1, 4}), zeros("k", {1, 1, 3, 4}), zeros("v", {1, 1, 3, 4}),
                     filled_with("mask", OtherElement::kU8, {1, 3}, 0xff)});
  EXPECT_THAT(make_inputs(resolve(bundle(path), {})).key_mask, Each(1));
}

TEST(MakeInputs, AFileThatDoesNotFitTheProblemIsRefused) {
  Problem p = resolve(bundle(kData + "tiny_f32.safetensors"), {});
  p.shape.q_len = 6;  // as if the file had been replaced meanwhile
  expect_usage_error([&] { make_inputs(p); }, {"tensor 'q'", "[2, 4, 5, 8]", "[2, 4, 6, 8]"});
}

/// A bundle of ones, q [2, 2, 3, 4], k and v [2, 1, 5, 4], with one element of one tensor replaced.
/// Batch 1 hides key 2.
std::string bundle_with(const Scratch& scratch, const std::string& name, Dims at, float value,
                        Dtype dtype, Layout layout) {
  std::vector<TensorToWrite> tensors;
  for (const char* each : {"q", "k", "v", "do"}) {
    const bool query_side = each[0] == 'q' || each[0] == 'd';
    auto t = std::make_shared<Tensor>(dtype, query_side ? Dims{2, 2, 3, 4} : Dims{2, 1, 5, 4});
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 1.0f);
    if (name == each) t->set(t->dims().index(at.b, at.h, at.rows, at.d), value);
    std::vector<std::int64_t> shape = {t->dims().b, t->dims().h, t->dims().rows, t->dims().d};
    if (layout == Layout::kBshd) std::swap(shape[1], shape[2]);
    tensors.push_back({each, dtype, shape,
                       [t, layout](const ByteSink& sink) { write_tensor(*t, layout, sink); }});
  }
  tensors.push_back({"mask", OtherElement::kU8, {2, 5}, [](const ByteSink& sink) {
                       const std::uint8_t mask[] = {1, 1, 1, 1, 1, 1, 1, 0, 1, 1};
                       sink(std::as_bytes(std::span(mask)));
                     }});
  const std::string path = scratch.path("values.safetensors");
  write_safetensors(path, std::move(tensors));
  return path;
}

TEST(MakeInputs, AVisibleNanOrInfinityIsNamedByItsIndex) {
  const Scratch scratch;
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  struct Case {
    const char* tensor;
    Dims at;
    float value;
    const char* what;
    const char* index;
  };
  const Case cases[] = {
      {"q", {0, 1, 2, 3}, kNan, "a NaN", "[0, 1, 2, 3]"},
      {"k", {1, 0, 3, 1}, kInfinity, "an infinity", "[1, 0, 3, 1]"},
      {"v", {0, 0, 2, 0}, -kInfinity, "an infinity", "[0, 0, 2, 0]"},  // batch 0 keeps key 2
      {"do", {1, 1, 0, 0}, -kNan, "a NaN", "[1, 1, 0, 0]"},
  };
  for (const Dtype dtype : kDtypes) {
    for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
      for (const Case& c : cases) {
        Problem p = bundle(bundle_with(scratch, c.tensor, c.at, c.value, dtype, layout));
        p.files.layout = layout;
        p = resolve(p, {});
        expect_usage_error([&] { make_inputs(p); },
                           {std::string("tensor '") + c.tensor + "' holds " + c.what, c.index});
      }
    }
  }
}

TEST(MakeInputs, WhatTheMaskHidesMayHoldAnything) {
  const Scratch scratch;
  for (const char* tensor : {"k", "v"}) {
    const std::string path =
        bundle_with(scratch, tensor, {1, 0, 2, 3}, std::nanf(""), Dtype::kF32, Layout::kBhsd);
    EXPECT_NO_THROW(make_inputs(resolve(bundle(path), {})));
    // Without the mask the same row is visible.
    expect_usage_error([&] { make_inputs(resolve(bundle(path), {"mask"})); },
                       {"a NaN at [b, h, row, d] = [1, 0, 2, 3]"});
  }
}

/// A bundle of ones, q and do [2, 1, 4, 2], k and v [2, 1, 3, 2], whose batch element 1 keeps no
/// key but the last `kept`; one row of q or do is all NaN.
Problem bundle_with_nan_row(const Scratch& scratch, const std::string& name, std::int64_t b,
                            std::int64_t row, int kept) {
  std::vector<TensorToWrite> tensors;
  for (const char* each : {"q", "k", "v", "do"}) {
    const bool query_side = each[0] == 'q' || each[0] == 'd';
    auto t = std::make_shared<Tensor>(Dtype::kF32, Dims{2, 1, query_side ? 4 : 3, 2});
    for (std::int64_t i = 0; i < t->count(); ++i) t->set(i, 1.0f);
    for (std::int64_t d = 0; name == each && d < 2; ++d)
      t->set(t->dims().index(b, 0, row, d), std::nanf(""));
    tensors.push_back({each, Dtype::kF32, {2, 1, t->dims().rows, 2}, [t](const ByteSink& sink) {
                         write_tensor(*t, Layout::kBhsd, sink);
                       }});
  }
  tensors.push_back({"mask", OtherElement::kU8, {2, 3}, [kept](const ByteSink& sink) {
                       std::uint8_t mask[] = {1, 1, 1, 0, 0, 0};
                       for (int k = 6 - kept; k < 6; ++k) mask[k] = 1;
                       sink(std::as_bytes(std::span(mask)));
                     }});
  const std::string path = scratch.path("nan_row.safetensors");
  write_safetensors(path, std::move(tensors));
  return bundle(path);
}

TEST(MakeInputs, ARowOfAQueryThatSeesNothingMayHoldAnything) {
  const Scratch scratch;
  struct Case {
    const char* what;
    bool causal;
    std::int64_t b, row;
    int kept;  ///< keys of batch element 1
    bool refused;
  };
  const Case cases[] = {
      {"all keys are padding", false, 1, 2, 0, false},
      {"the other batch element keeps its keys", false, 0, 2, 0, true},
      {"one key is kept", false, 1, 2, 1, true},
      {"causal, more queries than keys: query 0 is before key 0", true, 0, 0, 3, false},
      {"query 1 is at key 0", true, 0, 1, 3, true},
      {"causal, and padding hides what it sees", true, 1, 2, 1, false},
      {"the last query sees the last key", true, 1, 3, 1, true},
  };
  for (const char* tensor : {"q", "do"})
    for (const Case& c : cases) {
      SCOPED_TRACE(std::string(tensor) + ": " + c.what);
      Problem p = bundle_with_nan_row(scratch, tensor, c.b, c.row, c.kept);
      p.causal = c.causal;
      p = resolve(p, {});
      if (c.refused) {
        expect_usage_error([&] { make_inputs(p); },
                           {std::string("tensor '") + tensor + "' holds a NaN",
                            fmt::format("= [{}, 0, {}, 0]", c.b, c.row), "sees a key"});
        continue;
      }
      // Read as zeros: kernels multiply the row by probabilities of 0.
      const Inputs in = make_inputs(p);
      const Tensor& t = tensor[0] == 'q' ? in.q : in.d_o;
      for (std::int64_t i = 0; i < t.count(); ++i) EXPECT_TRUE(std::isfinite(t.at(i))) << i;
      EXPECT_EQ(t.at(t.dims().index(c.b, 0, c.row, 1)), 0.0f);
      EXPECT_EQ(t.at(t.dims().index(0, 0, 3, 1)), 1.0f) << "what is seen stays as it is";
    }
}

// ---- tensors that nothing reads ----

std::vector<std::string> unused(const Problem& p) {
  OpenFiles open;
  return unused_tensors(p, open);
}

TEST(UnusedTensors, AreNamedOnceForEachFile) {
  const Scratch scratch;
  const std::vector<std::int64_t> four = {1, 1, 2, 4};
  const auto file = [&](const std::string& name, const std::vector<std::string>& names) {
    std::vector<TensorToWrite> tensors;
    for (const std::string& each : names) tensors.push_back(zeros(each, four));
    write_safetensors(scratch.path(name), std::move(tensors));
    return scratch.path(name);
  };
  EXPECT_THAT(unused(Problem{}), IsEmpty());
  EXPECT_THAT(unused(npy_files()), IsEmpty());
  EXPECT_THAT(unused(bundle(kData + "tiny_f32.safetensors")), IsEmpty());
  EXPECT_THAT(unused(bshd_bundle()), IsEmpty()) << "names that flags give are used";
  const std::string all =
      file("all", {"q", "k", "v", "do", "bias", "o", "lse", "dq", "dk", "dv", "dbias"});
  EXPECT_THAT(unused(bundle(all)), IsEmpty()) << "inputs and results in one file";
  const std::string more = file("more", {"q", "k", "v", "block_mask"});
  EXPECT_THAT(unused(bundle(more)), ElementsAre("unused tensor: " + more +
                                                " holds 'block_mask', which is not read; the "
                                                "result is as if it were not there"));
  Problem renamed = bundle(file("renamed", {"q", "k", "v", "query"}));
  renamed.files.q_name = "query";
  EXPECT_THAT(unused(renamed), ElementsAre(HasSubstr("holds 'q', which is not read")));
  std::vector<std::string> names = {"q", "k", "v"};
  for (int i = 10; i < 22; ++i) names.push_back("w" + std::to_string(i));
  EXPECT_THAT(unused(bundle(file("model", names))),
              ElementsAre(HasSubstr("holds 'w10', 'w11', 'w12', 'w13', 'w14', 'w15', 'w16', 'w17' "
                                    "and 4 more, which are not read")));
}

TEST(UnusedTensors, OfSeparateFilesTheOnlyOneIsUsedWhateverItsName) {
  const Scratch scratch;
  const std::vector<std::int64_t> four = {1, 1, 2, 4};
  Problem p;
  p.files.q = scratch.path("one");
  write_safetensors(p.files.q, {zeros("layers.0.query", four)});
  p.files.k = p.files.v = scratch.path("two");
  write_safetensors(p.files.k, {zeros("k", four), zeros("v", four), zeros("sinks", {4})});
  EXPECT_THAT(unused(p), ElementsAre(HasSubstr("two holds 'sinks', which is not read")));
}

TEST(UnusedTensors, OfResultsTooAreNamed) {
  const Scratch scratch;
  const std::string path = scratch.path("results");
  write_safetensors(path, {zeros("o", {1}), zeros("q", {1}), zeros("dmask", {1})});
  EXPECT_THAT(unused_tensors(path, InputFiles{}), ElementsAre(HasSubstr("holds 'dmask', which")));
}

TEST(MakeInputs, TheLargestFiniteValuesAreFinite) {
  const Scratch scratch;
  for (const Dtype dtype : kDtypes) {
    const float largest = dtype == Dtype::kF16 ? 65504.0f : 0x1.fep127f;
    const std::string path =
        bundle_with(scratch, "q", {0, 0, 0, 0}, -largest, dtype, Layout::kBhsd);
    EXPECT_EQ(make_inputs(resolve(bundle(path), {})).q.at(0), -largest);
  }
}

// ---- random input ----

TEST(MakeInputs, RandomTensorsDependOnTheSeedOnly) {
  Problem p;
  p.shape = {1, 2, 1, 10, 12, 16};
  p.pass = Pass::kBoth;
  p.dtype = Dtype::kBf16;
  p.d_o = GradSource::kRandom;
  p.padding = PaddingMask::kRandom;
  p.seed = 5;
  const Inputs a = make_inputs(p), b = make_inputs(p);
  EXPECT_TRUE(same(a.q, b.q) && same(a.k, b.k) && same(a.v, b.v) && same(a.d_o, b.d_o));
  EXPECT_FALSE(same(a.k, a.v) || same(a.q, a.d_o));
  EXPECT_EQ(a.key_mask, random_mask(1, 12, 0.5, 5));
  EXPECT_EQ(a.q.dims(), (Dims{1, 2, 10, 16}));
  EXPECT_EQ(a.k.dims(), (Dims{1, 1, 12, 16}));
  p.seed = 6;
  EXPECT_FALSE(same(a.q, make_inputs(p).q));
}

TEST(MakeOutputs, HaveTheShapesOfThePass) {
  Problem p;
  p.shape = kTiny;
  p.dtype = Dtype::kF16;
  Outputs out = make_outputs(p);
  EXPECT_EQ(out.o.dims(), kTiny.o_dims());
  EXPECT_EQ(out.lse.dtype(), Dtype::kF32);
  EXPECT_EQ(out.lse.dims(), (Dims{2, 4, 5, 1}));
  EXPECT_TRUE(out.dq.empty() && out.dk.empty() && out.dv.empty());
  p.pass = Pass::kBoth;
  out = make_outputs(p);
  EXPECT_EQ(out.dq.dims(), kTiny.q_dims());
  EXPECT_EQ(out.dv.dims(), kTiny.v_dims());
  EXPECT_EQ(out.dk.dtype(), Dtype::kF16);
}

TEST(MakeInputs, KeysAndValuesHaveTheirOwnWidthAndDtype) {
  Problem p;
  p.shape = kTiny;
  p.shape.own_d_v = 3;
  p.own_kv_dtype = Dtype::kE4m3;
  const Inputs in = make_inputs(p);
  const Outputs out = make_outputs(p);
  const auto expect = [](const Tensor& t, Dtype dtype, const Dims& dims) {
    EXPECT_EQ(t.dtype(), dtype);
    EXPECT_EQ(t.dims(), dims);
  };
  const Dims q = kTiny.q_dims(), k = kTiny.k_dims();
  expect(in.q, Dtype::kF32, q);
  expect(in.k, Dtype::kE4m3, k);
  expect(in.v, Dtype::kE4m3, {k.b, k.h, k.rows, 3});
  expect(out.o, Dtype::kF32, {q.b, q.h, q.rows, 3});
  p.own_kv_dtype.reset();
  p.pass = Pass::kBackward;
  expect(make_inputs(p).d_o, Dtype::kF32, {q.b, q.h, q.rows, 3});
  expect(make_outputs(p).dk, Dtype::kF32, k);
  expect(make_outputs(p).dv, Dtype::kF32, {k.b, k.h, k.rows, 3});
}

}  // namespace
}  // namespace flashbench::data
