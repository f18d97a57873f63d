#include "data/inputs.h"
#include "sweep/field.h"
#include "tests/data/bundles.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

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
  const Problem p = resolve(bundle(kData + "tiny_f32.safetensors"), {"mask", "do"});
  EXPECT_EQ(p.padding, PaddingMask::kNone);
  EXPECT_EQ(p.d_o, GradSource::kOnes);
  const Inputs in = make_inputs(p);
  EXPECT_TRUE(in.key_mask.empty());
  for (std::int64_t i = 0; i < in.d_o.count(); ++i) ASSERT_EQ(in.d_o.at(i), 1.0f);
}

TEST(Resolve, ItsFlagsReproduceIt) {
  // "--mask none" and "--do ones" must be said, or the bundle's own tensors would be used.
  const Problem without = resolve(bundle(kData + "tiny_f32.safetensors"), {"mask", "do"});
  EXPECT_THAT(sweep::flags(without), AllOf(HasSubstr("--mask none"), HasSubstr("--do ones"),
                                           HasSubstr("--input "), HasSubstr("--kv_len 7")));
  const Problem with = resolve(bundle(kData + "tiny_f32.safetensors"), {});
  EXPECT_THAT(sweep::flags(with), Not(AnyOf(HasSubstr("--mask "), HasSubstr("--do "))));
}

TEST(Resolve, ALayoutIsNotTakenForAnother) { EXPECT_EQ(resolve(bshd_bundle(), {}).shape, kTiny); }

TEST(Resolve, WithoutFilesNothingChanges) {
  Problem p;
  p.shape = {3, 6, 2, 10, 20, 64};
  EXPECT_EQ(resolve(p, {}).shape, p.shape);
}

TEST(Resolve, TwiceIsTheSameAsOnce) {
  const Problem once = resolve(bundle(kData + "tiny_f32.safetensors"), {});
  EXPECT_EQ(sweep::flags(resolve(once, {})), sweep::flags(once));
}

TEST(Resolve, AMaskFileAloneDecidesWhatItKnows) {
  Problem p;
  p.files.mask = kData + "tiny_mask.npy";
  p.padding = PaddingMask::kFile;
  p.shape.q_len = 9;
  p.shape = resolve(p, {"q_len"}).shape;
  EXPECT_EQ(p.shape, (Shape{2, 2, 2, 9, 7, 512}));
  EXPECT_THAT(make_inputs(p).key_mask, ElementsAre(1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1));
}

TEST(Resolve, VDecidesTheHeadDimensionOfVAndO) {
  const Scratch scratch;
  const std::string path = scratch.path("in.safetensors");
  write_safetensors(path,
                    {zeros("q", {2, 4, 5, 8}), zeros("k", {2, 2, 7, 8}), zeros("v", {2, 2, 7, 16}),
                     zeros("do", {2, 4, 5, 16})},
                    {});
  const Problem p = resolve(bundle(path), {});
  EXPECT_EQ(p.shape.d, 8);
  EXPECT_EQ(p.shape.d_v(), 16);
  EXPECT_THAT(sweep::flags(p), HasSubstr("--d 8 --d_v 16"));
  EXPECT_EQ(make_inputs(p).d_o.dims(), p.shape.o_dims());
  Problem asked = bundle(path);
  asked.shape.own_d_v = 8;
  expect_usage_error([&] { resolve(asked, {"d_v"}); }, {"--d_v 8 contradicts", "so d_v is 16"});
  asked.shape.own_d_v = 16;
  EXPECT_EQ(resolve(asked, {"d_v"}).shape.d_v(), 16);
  // Of equal widths nothing is said.
  EXPECT_FALSE(resolve(bundle(kData + "tiny_f32.safetensors"), {}).shape.own_d_v);
}

TEST(Resolve, AGradientFileAloneDecidesWhatItKnows) {
  Problem p;
  p.pass = Pass::kBackward;
  p.files.d_o = kData + "tiny_do.npy";
  p.d_o = GradSource::kFile;
  EXPECT_EQ(resolve(p, {}).shape, (Shape{2, 4, 4, 5, 5, 8}));  // h_kv follows h, kv_len q_len
  p.shape.d = 128;
  expect_usage_error([&] { resolve(p, {"d"}); }, {"--d 128 contradicts", "so d is 8"});
  p.shape.own_d_v = 8;
  EXPECT_EQ(resolve(p, {"d", "d_v"}).shape.d, 128);
}

TEST(Resolve, FlagsThatAgreeAreFine) {
  Problem p = bundle(kData + "tiny_f32.safetensors");
  p.shape = kTiny;
  const std::vector<std::string> all = {"b", "h",     "h_kv", "q_len", "kv_len",
                                        "d", "dtype", "mask", "do"};
  EXPECT_EQ(resolve(p, all).shape, kTiny);
}

TEST(Resolve, EveryContradictingFlagIsNamedWithTheTensor) {
  struct Case {
    std::vector<std::string> given;
    std::int64_t Shape::*axis;
    const char* flag;
    const char* tensor;
    const char* truth;
  };
  const Case cases[] = {
      {{"b"}, &Shape::b, "--b 99", "tensor 'q' has shape [2, 4, 5, 8]", "so b is 2"},
      {{"h"}, &Shape::h, "--h 99", "tensor 'q'", "so h is 4"},
      {{"h_kv"}, &Shape::h_kv, "--h_kv 99", "tensor 'k'", "so h_kv is 2"},
      {{"q_len"}, &Shape::q_len, "--q_len 99", "tensor 'q'", "so q_len is 5"},
      {{"kv_len"}, &Shape::kv_len, "--kv_len 99", "tensor 'k'", "so kv_len is 7"},
      {{"d"}, &Shape::d, "--d 99", "tensor 'q'", "so d is 8"},
  };
  for (const Case& c : cases) {
    Problem p = bundle(kData + "tiny_f32.safetensors");
    p.shape.*c.axis = 99;
    expect_usage_error([&] { resolve(p, c.given); },
                       {c.flag, "tiny_f32.safetensors", c.tensor, c.truth});
  }
  Problem p = bundle(kData + "tiny_bf16.safetensors");
  expect_usage_error([&] { resolve(p, {"dtype"}); },
                     {"--dtype f32", "tiny_bf16.safetensors", "holds BF16"});
}

// ---- files that do not fit ----

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
      {"k_wider", {q, zeros("k", {2, 2, 7, 16}), v}, {"d is 16", "tensor 'q' has d 8"}},
      {"do_wider", {q, k, v, zeros("do", {2, 4, 5, 16})}, {"d_v is 16", "tensor 'v' has d_v 8"}},
      {"k_other_batch", {q, zeros("k", {1, 2, 7, 8}), v}, {"b is 1", "tensor 'q' has b 2"}},
      {"three_axes", {zeros("q", {4, 5, 8}), k, v}, {"tensor 'q'", "[4, 5, 8]", "4 axes"}},
      {"empty_axis", {zeros("q", {2, 4, 0, 8}), k, v}, {"tensor 'q'", "[2, 4, 0, 8]", "empty"}},
      {"mixed_dtypes",
       {q, k, zeros("v", {2, 2, 7, 8}, Dtype::kBf16)},
       {"tensor 'v' holds BF16", "tensor 'q' holds f32"}},
      {"q_of_bytes",
       {zeros("q", {2, 4, 5, 8}, OtherElement::kU8), k, v},
       {"tensor 'q' holds U8", "F32, BF16 and F16"}},
      {"heads_do_not_divide",
       {q, zeros("k", {2, 3, 7, 8}), zeros("v", {2, 3, 7, 8})},
       {"--h_kv 3 does not divide --h 4", "--layout bhsd"}},
      {"d_too_large",
       {zeros("q", {1, 1, 1, 2048}), zeros("k", {1, 1, 1, 2048}), zeros("v", {1, 1, 1, 2048})},
       {"2048", "1024"}},
      {"mask_of_one_axis",
       {q, k, v, zeros("mask", {7}, OtherElement::kU8)},
       {"tensor 'mask'", "[7]", "[b, kv_len]"}},
      {"mask_too_short",
       {q, k, v, zeros("mask", {2, 6}, OtherElement::kU8)},
       {"tensor 'mask' has shape [2, 6], so kv_len is 6", "kv_len 7"}},
      {"do_of_other_length",
       {q, k, v, zeros("do", {2, 4, 6, 8})},
       {"tensor 'do'", "q_len is 6", "q_len 5"}},
      {"do_of_other_dtype",
       {q, k, v, zeros("do", {2, 4, 5, 8}, Dtype::kF16)},
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
  p = bundle(kData + "tiny_f32.safetensors");
  EXPECT_EQ(resolve(p, {}).sinks, Sinks::kNone);
  expect_usage_error([&] { resolve(p, {"sinks_name"}); }, {"no tensor 'sinks'", "--sinks_name"});
  // A name that is of the file which --sinks names.
  EXPECT_EQ(resolve(p, {"sinks", "sinks_name"}).sinks, Sinks::kNone);
}

}  // namespace
}  // namespace flashbench::data
