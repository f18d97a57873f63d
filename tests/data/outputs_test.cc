#include "data/outputs.h"

#include <sys/stat.h>

#include <cmath>
#include <limits>
#include <thread>

#include "data/fill.h"
#include "data/inputs.h"
#include "data/safetensors.h"
#include "tests/data/bundles.h"
#include "tests/data/scratch.h"

namespace flashbench::data {
namespace {

using testing::ElementsAre;

Problem small(Dtype dtype, Layout layout) {
  Problem p;
  p.shape = kTiny;
  p.pass = Pass::kBackward;
  p.dtype = dtype;
  p.files.layout = layout;
  return p;
}

Outputs random_outputs(const Problem& p) {
  Outputs out = make_outputs(p);
  std::uint64_t seed = 0;
  for (Tensor* t : {&out.o, &out.lse, &out.dq, &out.dk, &out.dv}) fill(*t, ++seed, TensorId::kQ);
  return out;
}

void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.dims(), b.dims());
  EXPECT_EQ(a.dtype(), b.dtype());
  for (std::int64_t i = 0; i < a.count(); ++i) ASSERT_EQ(a.at(i), b.at(i)) << i;
}

TEST(Outputs, ComeBackAsTheyWereWritten) {
  const Scratch scratch;
  const std::string path = scratch.path("o.safetensors");
  for (const Dtype dtype : kDtypes) {
    for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
      const Problem p = small(dtype, layout);
      const Outputs out = random_outputs(p);
      write_outputs(path, p, out, p.pass);
      const Outputs back = read_outputs(path, p);
      expect_same(out.o, back.o);
      expect_same(out.lse, back.lse);
      expect_same(out.dq, back.dq);
      expect_same(out.dk, back.dk);
      expect_same(out.dv, back.dv);
    }
  }
}

TEST(Outputs, ALargeTensorIsConvertedInPieces) {
  const Scratch scratch;
  Problem p;
  p.shape = {1, 3, 3, 9001, 9001, 100};  // 10.8 MB of f32: three pieces, the last one shorter
  p.files.layout = Layout::kBshd;
  const Outputs out = random_outputs(p);
  write_outputs(scratch.path("o"), p, out, Pass::kForward);
  const Outputs back = read_outputs(scratch.path("o"), p);
  expect_same(out.o, back.o);
  const TensorFile file = open_safetensors(scratch.path("o"));
  float element = 0;  // [b, row, h, d] = [0, 8000, 2, 7]
  file.read(*file.find("o"), ((8000 * 3 + 2) * 100 + 7) * sizeof element,
            std::as_writable_bytes(std::span(&element, 1)));
  EXPECT_EQ(element, out.o.at(0, 2, 8000, 7));
}

TEST(Outputs, AForwardPassWritesNoGradients) {
  const Scratch scratch;
  Problem p = small(Dtype::kBf16, Layout::kBshd);
  p.pass = Pass::kForward;
  write_outputs(scratch.path("o"), p, random_outputs(p), p.pass);
  const TensorFile file = open_safetensors(scratch.path("o"));
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.find("o")->element, Element(Dtype::kBf16));
  EXPECT_THAT(file.find("o")->shape, ElementsAre(2, 5, 4, 8));
  EXPECT_EQ(file.find("lse")->element, Element(Dtype::kF32));
  EXPECT_THAT(file.find("lse")->shape, ElementsAre(2, 5, 4));
}

TEST(Outputs, GoThroughAFifo) {
  const Scratch scratch;
  const std::string fifo = scratch.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const Problem p = small(Dtype::kF32, Layout::kBhsd);
  const Outputs out = random_outputs(p);
  std::string got;
  std::thread reader([&] { got = contents(fifo); });
  write_outputs(fifo, p, out, p.pass);
  reader.join();
  expect_same(out.dk, read_outputs(scratch.put("copy", got), p).dk);
}

// Another library that reads this file computes the very problem that the flags pose.
TEST(Inputs, WrittenToAFileTheyPoseTheSameProblem) {
  const Scratch scratch;
  const std::string path = scratch.path("qkv.safetensors");
  for (const Dtype dtype : kDtypes) {
    for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
      Problem p = small(dtype, layout);
      p.padding = PaddingMask::kRandom;
      const Inputs in = make_inputs(p);
      write_inputs(path, p, in);
      Problem from_file = bundle(path);
      from_file.files.layout = layout;
      from_file = resolve(from_file, {});
      EXPECT_EQ(from_file.shape, p.shape);
      EXPECT_EQ(from_file.dtype, dtype);
      const Inputs back = make_inputs(from_file);
      expect_same(in.q, back.q);
      expect_same(in.k, back.k);
      expect_same(in.v, back.v);
      expect_same(in.d_o, back.d_o);
      EXPECT_EQ(in.key_mask, back.key_mask);
    }
  }
}

TEST(ReadOutputs, TakesWhatIsThereInF32OrTheProblemsDtype) {
  const Scratch scratch;
  const std::string path = scratch.path("o.safetensors");
  write_safetensors(
      path, {zeros("out", {2, 4, 5, 8}, Dtype::kBf16), zeros("dq", {2, 4, 5, 8}, Dtype::kF32),
             zeros("lse", {2, 4, 5, 1}, Dtype::kF32), zeros("unrelated", {3}, OtherElement::kU8)});
  const Outputs out =
      read_outputs(path, small(Dtype::kBf16, Layout::kBhsd), OutputNames{.o = "out"});
  EXPECT_EQ(out.o.dtype(), Dtype::kBf16);
  EXPECT_EQ(out.dq.dtype(), Dtype::kF32);
  EXPECT_EQ(out.lse.dims(), (Dims{2, 4, 5, 1}));
  EXPECT_TRUE(out.dk.empty() && out.dv.empty());
}

TEST(ReadOutputs, RefusesWhatDoesNotFit) {
  struct Case {
    const char* name;
    TensorToWrite tensor;
    std::vector<std::string> parts;
  };
  const Case cases[] = {
      {"nothing_known",
       zeros("out", {2, 4, 5, 8}, Dtype::kF32),
       {"none of 'o', 'lse', 'dq', 'dk', 'dv'", "it holds 'out'"}},
      {"other_16_bit_type",
       zeros("o", {2, 4, 5, 8}, Dtype::kF16),
       {"tensor 'o' holds F16", "f32 or bf16"}},
      {"bytes", zeros("dq", {2, 4, 5, 8}, OtherElement::kU8), {"tensor 'dq' holds U8"}},
      {"lse_in_bf16",
       zeros("lse", {2, 4, 5}, Dtype::kBf16),
       {"tensor 'lse' holds BF16", "must be f32"}},
      {"dk_of_every_query_head",
       zeros("dk", {2, 4, 7, 8}, Dtype::kF32),
       {"tensor 'dk' has shape [2, 4, 7, 8]", "[2, 2, 7, 8]"}},
      {"other_layout",
       zeros("o", {2, 5, 4, 8}, Dtype::kF32),
       {"[2, 5, 4, 8]", "must be [2, 4, 5, 8]", "--layout bhsd"}},
      {"lse_padded", zeros("lse", {2, 4, 8}, Dtype::kF32), {"[2, 4, 8]", "[2, 4, 5]"}},
  };
  const Scratch scratch;
  const Problem p = small(Dtype::kBf16, Layout::kBhsd);
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string path = scratch.path("bad.safetensors");
    write_safetensors(path, {c.tensor});
    std::vector<std::string> parts = c.parts;
    parts.push_back("bad.safetensors: ");
    expect_usage_error([&] { read_outputs(path, p); }, parts);
  }
}

// ---- the shipped files: what NumPy computed in float64 is what the semantics say ----

/// Attention by its definition, forward only.
void expect_forward(const Problem& p, const Inputs& in, const Outputs& want, double tolerance) {
  const Shape& s = p.shape;
  for (std::int64_t b = 0; b < s.b; ++b) {
    for (std::int64_t h = 0; h < s.h; ++h) {
      for (std::int64_t i = 0; i < s.q_len; ++i) {
        std::vector<double> o(static_cast<std::size_t>(s.d));
        double sum = 0;
        for (std::int64_t j = 0; j < s.kv_len; ++j) {
          if (in.key_mask[static_cast<std::size_t>(b * s.kv_len + j)] == 0) continue;
          if (p.causal && j > i + s.kv_len - s.q_len) continue;
          double dot = 0;
          for (std::int64_t c = 0; c < s.d; ++c)
            dot += double{in.q.at(b, h, i, c)} * double{in.k.at(b, s.kv_head(h), j, c)};
          const double e = std::exp(p.softmax_scale() * dot);
          sum += e;
          for (std::int64_t c = 0; c < s.d; ++c)
            o[static_cast<std::size_t>(c)] += e * double{in.v.at(b, s.kv_head(h), j, c)};
        }
        for (std::int64_t c = 0; c < s.d; ++c)
          EXPECT_NEAR(want.o.at(b, h, i, c), sum > 0 ? o[static_cast<std::size_t>(c)] / sum : 0,
                      tolerance);
        if (sum > 0)
          EXPECT_NEAR(want.lse.at(b, h, i, 0), std::log(sum), tolerance);
        else
          EXPECT_EQ(want.lse.at(b, h, i, 0), -std::numeric_limits<float>::infinity());
      }
    }
  }
}

TEST(ShippedFiles, HoldWhatTheirNamesSay) {
  Problem f32 = bundle(kData + "tiny_f32.safetensors"), bshd = bshd_bundle();
  f32.causal = bshd.causal = true;
  int empty_rows = 0;
  for (Problem p : {f32, bundle(kData + "tiny_bf16.safetensors"), bshd}) {
    p = resolve(p, {});
    const std::string stem =
        p.files.bundle.substr(0, p.files.bundle.size() - std::string(".safetensors").size());
    const Outputs want = read_outputs(stem + "_expected.safetensors", p);
    expect_forward(p, make_inputs(p), want, 2e-6);
    for (std::int64_t i = 0; i < want.lse.count(); ++i)
      empty_rows += std::isinf(want.lse.at(i)) ? 1 : 0;
    EXPECT_FALSE(want.dq.empty() || want.dk.empty() || want.dv.empty());
  }
  EXPECT_EQ(empty_rows, 2 * 4 * 2);  // batch 1 of the causal ones: queries 0 and 1 see no kept key
}

}  // namespace
}  // namespace flashbench::data
