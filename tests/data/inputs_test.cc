#include "data/inputs.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "data/fill.h"
#include "data/layout.h"
#include "data/outputs.h"
#include "data/safetensors.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const std::string kData = FLASHBENCH_TEST_DATA "/";

Problem bundle(const std::string& file, Pass pass = Pass::kBackward) {
  Problem p;
  p.pass = pass;
  p.files.bundle = file;
  return p;
}

Problem bshd_bundle() {
  Problem p = bundle(kData + "tiny_bshd.safetensors");
  p.files.layout = Layout::kBshd;
  p.files.q_name = "query";
  p.files.k_name = "key";
  p.files.v_name = "value";
  p.files.do_name = "grad";
  p.files.mask_name = "keep";
  return p;
}

Problem npy_files() {
  Problem p;
  p.pass = Pass::kBackward;
  p.files.q = kData + "tiny_q.npy";
  p.files.k = kData + "tiny_k.npy";
  p.files.v = kData + "tiny_v.npy";
  p.files.d_o = kData + "tiny_do.npy";
  p.d_o = GradSource::kFile;
  p.files.mask = kData + "tiny_mask.npy";
  p.padding = PaddingMask::kFile;
  return p;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() &&
         std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

constexpr Shape kTiny{2, 4, 2, 5, 7, 8};

// ---- what a file says ----

TEST(Resolve, ShapesAndDtypeComeFromTheBundle) {
  const Problem p = resolve(bundle(kData + "tiny_bf16.safetensors"), {});
  EXPECT_EQ(p.shape, kTiny);
  EXPECT_EQ(p.dtype, Dtype::kBf16);
  EXPECT_EQ(p.padding, PaddingMask::kFile);
  EXPECT_EQ(p.d_o, GradSource::kFile);
}

TEST(Resolve, AForwardPassDoesNotTakeTheGradient) {
  const Problem p = resolve(bundle(kData + "tiny_f32.safetensors", Pass::kForward), {});
  EXPECT_EQ(p.d_o, GradSource::kOnes);
  EXPECT_TRUE(make_inputs(p).d_o.empty());
}

TEST(Resolve, FlagsForMaskAndGradientWinOverTheBundle) {
  const Problem p = resolve(bundle(kData + "tiny_f32.safetensors"), {.mask = true, .d_o = true});
  EXPECT_EQ(p.padding, PaddingMask::kNone);
  EXPECT_EQ(p.d_o, GradSource::kOnes);
  const Inputs in = make_inputs(p);
  EXPECT_TRUE(in.key_mask.empty());
  for (std::int64_t i = 0; i < in.d_o.count(); ++i) ASSERT_EQ(in.d_o.at(i), 1.0f);
}

TEST(Resolve, ItsFlagsReproduceIt) {
  // "--mask none" and "--do ones" must be said, or the bundle's own tensors would be used.
  const Problem without =
      resolve(bundle(kData + "tiny_f32.safetensors"), {.mask = true, .d_o = true});
  EXPECT_THAT(without.flags(), AllOf(HasSubstr("--mask none"), HasSubstr("--do ones"),
                                     HasSubstr("--input "), HasSubstr("--kv_len 7")));
  const Problem with = resolve(bundle(kData + "tiny_f32.safetensors"), {});
  EXPECT_THAT(with.flags(), Not(AnyOf(HasSubstr("--mask "), HasSubstr("--do "))));
}

TEST(Resolve, ALayoutIsNotTakenForAnother) { EXPECT_EQ(resolve(bshd_bundle(), {}).shape, kTiny); }

TEST(Resolve, WithoutFilesNothingChanges) {
  Problem p;
  p.shape = {3, 6, 2, 10, 20, 64};
  EXPECT_EQ(resolve(p, {}).shape, p.shape);
}

TEST(Resolve, TwiceIsTheSameAsOnce) {
  const Problem once = resolve(bundle(kData + "tiny_f32.safetensors"), {});
  EXPECT_EQ(resolve(once, {}).flags(), once.flags());
}

TEST(Resolve, AMaskFileAloneDecidesWhatItKnows) {
  Problem p;
  p.files.mask = kData + "tiny_mask.npy";
  p.padding = PaddingMask::kFile;
  p.shape.q_len = 9;
  p.shape = resolve(p, {.q_len = true}).shape;
  EXPECT_EQ(p.shape, (Shape{2, 2, 2, 9, 7, 512}));
  EXPECT_THAT(make_inputs(p).key_mask, ElementsAre(1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1));
}

TEST(Resolve, AGradientFileAloneDecidesWhatItKnows) {
  Problem p;
  p.pass = Pass::kBackward;
  p.files.d_o = kData + "tiny_do.npy";
  p.d_o = GradSource::kFile;
  EXPECT_EQ(resolve(p, {}).shape, (Shape{2, 4, 4, 5, 5, 8}));  // h_kv follows h, kv_len q_len
}

TEST(Resolve, FlagsThatAgreeAreFine) {
  Problem p = bundle(kData + "tiny_f32.safetensors");
  p.shape = kTiny;
  const ExplicitFlags all{true, true, true, true, true, true, true, true, true};
  EXPECT_EQ(resolve(p, all).shape, kTiny);
}

TEST(Resolve, EveryContradictingFlagIsNamedWithTheTensor) {
  struct Case {
    ExplicitFlags given;
    std::int64_t Shape::*axis;
    const char* flag;
    const char* tensor;
    const char* truth;
  };
  const Case cases[] = {
      {{.b = true}, &Shape::b, "--b 99", "tensor 'q' has shape [2, 4, 5, 8]", "so b is 2"},
      {{.h = true}, &Shape::h, "--h 99", "tensor 'q'", "so h is 4"},
      {{.h_kv = true}, &Shape::h_kv, "--h_kv 99", "tensor 'k'", "so h_kv is 2"},
      {{.q_len = true}, &Shape::q_len, "--q_len 99", "tensor 'q'", "so q_len is 5"},
      {{.kv_len = true}, &Shape::kv_len, "--kv_len 99", "tensor 'k'", "so kv_len is 7"},
      {{.d = true}, &Shape::d, "--d 99", "tensor 'q'", "so d is 8"},
  };
  for (const Case& c : cases) {
    Problem p = bundle(kData + "tiny_f32.safetensors");
    p.shape.*c.axis = 99;
    expect_usage_error([&] { resolve(p, c.given); },
                       {c.flag, "tiny_f32.safetensors", c.tensor, c.truth});
  }
  Problem p = bundle(kData + "tiny_bf16.safetensors");
  expect_usage_error([&] { resolve(p, {.dtype = true}); },
                     {"--dtype f32", "tiny_bf16.safetensors", "holds BF16"});
}

// ---- files that do not fit ----

TensorToWrite filled_with(const std::string& name, Element element, std::vector<std::int64_t> shape,
                          unsigned char byte) {
  std::size_t bytes = element == Element::kF32 ? 4 : dtype_of(element) ? 2 : 1;
  for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
  return {name, element, std::move(shape),
          [=](const ByteSink& sink) { sink(std::vector<std::byte>(bytes, std::byte{byte})); }};
}
TensorToWrite zeros(const std::string& name, std::vector<std::int64_t> shape,
                    Element element = Element::kF32) {
  return filled_with(name, element, std::move(shape), 0);
}

struct BadBundle {
  const char* name;
  std::vector<TensorToWrite> tensors;
  std::vector<std::string> parts;
};

TEST(Resolve, RefusesTensorsThatDoNotFitTogether) {
  const TensorToWrite q = zeros("q", {2, 4, 5, 8}), k = zeros("k", {2, 2, 7, 8}),
                      v = zeros("v", {2, 2, 7, 8});
  const BadBundle cases[] = {
      {"no_v", {q, k}, {"no tensor 'v'", "it holds 'q', 'k'", "--v_name"}},
      {"nothing", {}, {"no tensor 'q'", "it holds no tensor", "--q_name"}},
      {"v_longer",
       {q, k, zeros("v", {2, 2, 9, 8})},
       {"tensor 'v' has shape [2, 2, 9, 8], so kv_len is 9", "tensor 'k' has kv_len 7"}},
      {"v_other_heads", {q, k, zeros("v", {2, 4, 7, 8})}, {"h_kv is 4", "h_kv 2"}},
      {"v_wider", {q, k, zeros("v", {2, 2, 7, 16})}, {"d is 16", "tensor 'q' has d 8"}},
      {"k_other_batch", {q, zeros("k", {1, 2, 7, 8}), v}, {"b is 1", "tensor 'q' has b 2"}},
      {"three_axes", {zeros("q", {4, 5, 8}), k, v}, {"tensor 'q'", "[4, 5, 8]", "4 axes"}},
      {"empty_axis", {zeros("q", {2, 4, 0, 8}), k, v}, {"tensor 'q'", "[2, 4, 0, 8]", "empty"}},
      {"mixed_dtypes",
       {q, k, zeros("v", {2, 2, 7, 8}, Element::kBf16)},
       {"tensor 'v' holds BF16", "tensor 'q' holds f32"}},
      {"q_of_bytes",
       {zeros("q", {2, 4, 5, 8}, Element::kU8), k, v},
       {"tensor 'q' holds U8", "F32, BF16 and F16"}},
      {"heads_do_not_divide",
       {q, zeros("k", {2, 3, 7, 8}), zeros("v", {2, 3, 7, 8})},
       {"--h_kv 3 does not divide --h 4", "--layout bhsd"}},
      {"d_too_large",
       {zeros("q", {1, 1, 1, 2048}), zeros("k", {1, 1, 1, 2048}), zeros("v", {1, 1, 1, 2048})},
       {"2048", "1024"}},
      {"mask_of_one_axis",
       {q, k, v, zeros("mask", {7}, Element::kU8)},
       {"tensor 'mask'", "[7]", "[b, kv_len]"}},
      {"mask_too_short",
       {q, k, v, zeros("mask", {2, 6}, Element::kU8)},
       {"tensor 'mask' has shape [2, 6], so kv_len is 6", "kv_len 7"}},
      {"do_of_other_length",
       {q, k, v, zeros("do", {2, 4, 6, 8})},
       {"tensor 'do'", "q_len is 6", "q_len 5"}},
      {"do_of_other_dtype",
       {q, k, v, zeros("do", {2, 4, 5, 8}, Element::kF16)},
       {"tensor 'do' holds F16"}},
  };
  const Scratch scratch;
  for (const BadBundle& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string path = scratch.path("bad.safetensors");
    write_safetensors(path, c.tensors);
    std::vector<std::string> parts = c.parts;
    parts.push_back("bad.safetensors");
    expect_usage_error([&] { resolve(bundle(path), {}); }, parts);
  }
}

TEST(Resolve, RefusesAMaskOfFloats) {
  const Scratch scratch;
  const std::string path = scratch.path("bad.safetensors");
  write_safetensors(path, {zeros("q", {1, 1, 2, 4}), zeros("k", {1, 1, 2, 4}),
                           zeros("v", {1, 1, 2, 4}), zeros("mask", {1, 2})});
  expect_usage_error([&] { make_inputs(resolve(bundle(path), {})); },
                     {"tensor 'mask' holds F32", "U8 or BOOL"});
}

TEST(Resolve, RefusesFlagsThatDoNotGoTogether) {
  Problem both = npy_files();
  both.files.bundle = kData + "tiny_f32.safetensors";
  expect_usage_error([&] { resolve(both, {}); }, {"--input already holds q, k and v"});
  for (std::string InputFiles::*missing : {&InputFiles::q, &InputFiles::k, &InputFiles::v}) {
    Problem p = npy_files();
    (p.files.*missing).clear();
    expect_usage_error([&] { resolve(p, {}); }, {"--q, --k and --v go together", "is missing"});
  }
  expect_usage_error([] { resolve(bundle(kData + "tiny_q.npy"), {}); },
                     {"tiny_q.npy", "--input takes a .safetensors", "--q, --k and --v"});
  Problem nameless;
  nameless.padding = PaddingMask::kFile;
  expect_usage_error([&] { resolve(nameless, {}); }, {"--mask FILE"});
  expect_usage_error([&] { make_inputs(nameless); }, {"--mask FILE"});
}

TEST(Resolve, ANameThatWasAskedForMustBeThere) {
  Problem p = bundle(kData + "tiny_f32.safetensors");
  p.files.mask_name = "padding";
  expect_usage_error([&] { resolve(p, {}); }, {"no tensor 'padding'", "'mask'", "--mask_name"});
}

// ---- loading ----

TEST(MakeInputs, NpyFilesAndTheBundleHoldTheSame) {
  const Inputs a = make_inputs(resolve(bundle(kData + "tiny_f32.safetensors"), {}));
  const Inputs b = make_inputs(resolve(npy_files(), {.mask = true, .d_o = true}));
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
                     filled_with("mask", Element::kU8, {1, 3}, 0xff)});
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
    tensors.push_back({each, element_of(dtype), shape,
                       [t, layout](const ByteSink& sink) { write_tensor(*t, layout, sink); }});
  }
  tensors.push_back({"mask", Element::kU8, {2, 5}, [](const ByteSink& sink) {
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
    expect_usage_error([&] { make_inputs(resolve(bundle(path), {.mask = true})); },
                       {"a NaN at [b, h, row, d] = [1, 0, 2, 3]"});
  }
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
  EXPECT_EQ(out.o.dims(), kTiny.q_dims());
  EXPECT_EQ(out.lse.dtype(), Dtype::kF32);
  EXPECT_EQ(out.lse.dims(), (Dims{2, 4, 5, 1}));
  EXPECT_TRUE(out.dq.empty() && out.dk.empty() && out.dv.empty());
  p.pass = Pass::kBoth;
  out = make_outputs(p);
  EXPECT_EQ(out.dq.dims(), kTiny.q_dims());
  EXPECT_EQ(out.dv.dims(), kTiny.kv_dims());
  EXPECT_EQ(out.dk.dtype(), Dtype::kF16);
}

}  // namespace
}  // namespace flashbench::data
