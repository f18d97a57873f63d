// Which kernel takes what, and what is said where none does.
#include "cuda/route.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/enumerators.h"
#include "cuda/decode_sm80/decode_sm80.h"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80.h"
#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/route_table.h"
#include "cuda/simt_f32/simt_f32.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a.h"

namespace flashbench::cuda {
namespace {

using testing::HasSubstr;

constexpr std::size_t kShared99K = 99 * 1024, kShared64K = 64 * 1024;

constexpr RouteQuery query(Dtype t, std::int64_t d, int capability,
                           std::size_t shared = kShared99K) {
  return {{{Feature::kGradients}, t, d}, Pass::kBoth, capability, shared, false};
}

// Routing is a constant expression: simt_f32 takes everything from 7.5 on.
static_assert(refusal(simt_f32::kFamily, query(Dtype::kF32, 1024, 75, kShared64K)) ==
              Refusal::kNone);
static_assert(refusal(simt_f32::kFamily, query(Dtype::kF16, 1, 121)) == Refusal::kNone);
static_assert(refusal(simt_f32::kFamily, query(Dtype::kBf16, 64, 70)) == Refusal::kCapability);
static_assert(refusal(simt_f32::kFamily, query(Dtype::kBf16, 1025, 90)) == Refusal::kSupports);
static_assert(refusal(simt_f32::kFamily, query(Dtype::kF32, 64, 90, 20000)) == Refusal::kShared);

// decode_sm80 takes the forward pass of up to 512 query rows a K/V head.
constexpr RouteQuery decode(std::int64_t rows, Dtype t = Dtype::kBf16, std::int64_t d = 128,
                            int capability = 80) {
  return {{{Feature::kCausal, Feature::kKeyMask}, t, d},
          Pass::kForward,
          capability,
          kShared99K,
          false,
          {.q_len = rows, .kv_len = 8192},
          1};
}
static_assert(refusal(decode_sm80::kFamily, decode(1)) == Refusal::kNone);
static_assert(refusal(decode_sm80::kFamily, decode(16, Dtype::kF16, 256, 121)) == Refusal::kNone);
static_assert(refusal(decode_sm80::kFamily, decode(512)) == Refusal::kNone);
static_assert(refusal(decode_sm80::kFamily, decode(513)) == Refusal::kRows);
static_assert(refusal(decode_sm80::kFamily, decode(1, Dtype::kF32)) == Refusal::kSupports);
static_assert(refusal(decode_sm80::kFamily, decode(1, Dtype::kBf16, 257)) == Refusal::kSupports);
static_assert(refusal(decode_sm80::kFamily, decode(1, Dtype::kBf16, 64, 75)) ==
              Refusal::kCapability);
static_assert(refusal(decode_sm80::kFamily, query(Dtype::kBf16, 64, 80)) == Refusal::kSupports);

// It is given up to 16 of them always, and more where its blocks of rows take at most half of the
// waves of CTAs that the others have: 32 rows a block up to d = 128, 16 beyond, of all heads of a
// group; theirs 128 queries of one head.
constexpr bool pays(std::int64_t kv_heads, std::int64_t group, std::int64_t q_len,
                    std::int64_t kv_len, std::int64_t d, int multiprocessors) {
  return decode_sm80::pays({kv_heads, group, q_len, kv_len}, d, multiprocessors);
}
constexpr int kH200 = 132, kA100 = 108, k4090 = 128;
static_assert(pays(1000, 8, 2, 1, 128, 1),
              "16 rows are its own, however few keys and however many");
static_assert(pays(8, 4, 8, 8192, 128, kH200), "speculative decoding: 8 blocks, 32 CTAs");
static_assert(pays(8, 8, 32, 32768, 128, kH200), "64 blocks of 256 rows a head, 64 CTAs");
static_assert(!pays(8, 8, 64, 32768, 128, kH200), "128 blocks, 64 CTAs: one wave either way");
static_assert(!pays(8, 8, 32, 32768, 128, kA100), "128 halves of 108");
static_assert(pays(8, 4, 32, 32768, 128, k4090));
static_assert(pays(128, 8, 8, 8192, 128, kH200), "256 blocks, but 1024 CTAs: eight waves");
static_assert(!pays(32, 1, 128, 8192, 128, kH200), "no group: 128 blocks, 32 CTAs");
static_assert(pays(16, 1, 128, 8192, 128, kH200), "a small chunk of few heads");
static_assert(pays(33, 1, 64, 8192, 64, kH200), "two blocks of 32 rows for each of their CTAs");
static_assert(!pays(34, 1, 64, 8192, 64, kH200), "136 halves of 132");
static_assert(pays(1, 8, 64, 8192, 256, kH200), "32 blocks of 16 rows");
static_assert(!pays(3, 8, 64, 8192, 256, kH200));
static_assert(!pays(8, 4, 8, 511, 128, kH200) && pays(8, 4, 8, 512, 128, kH200), "few keys");
static_assert(!pays(1, 1, 17, 8192, 128, 1) && !pays(1, 1, 17, 8192, 128, 0),
              "one multiprocessor has nobody to share with");
static_assert(pays(1, 1, 17, 8192, 128, 2) && !pays(1, 1, 65, 8192, 128, 5) &&
              pays(1, 1, 65, 8192, 128, 6));

// wgmma_sm90a runs on 9.0 alone, whose blocks may have 227 KB.
constexpr std::size_t kShared227K = 227 * 1024;
static_assert(refusal(wgmma_sm90a::kFamily, query(Dtype::kBf16, 512, 90, kShared227K)) ==
              Refusal::kNone);
static_assert(refusal(wgmma_sm90a::kFamily, query(Dtype::kF16, 1, 90, kShared227K)) ==
              Refusal::kNone);
static_assert(refusal(wgmma_sm90a::kFamily, query(Dtype::kF16, 64, 89, kShared227K)) ==
              Refusal::kCapability);
static_assert(refusal(wgmma_sm90a::kFamily, query(Dtype::kF16, 64, 100, kShared227K)) ==
              Refusal::kCapabilityTooNew);
static_assert(refusal(wgmma_sm90a::kFamily, query(Dtype::kF32, 64, 90, kShared227K)) ==
              Refusal::kSupports);
static_assert(refusal(wgmma_sm90a::kFamily, query(Dtype::kBf16, 513, 90, kShared227K)) ==
              Refusal::kSupports);
static_assert(refusal(wgmma_sm90a::kFamily, query(Dtype::kBf16, 128, 90)) == Refusal::kShared);

// Operands are split where that is asked for, and nowhere else; nor does anybody else split them.
constexpr RouteQuery split(std::int64_t d, int capability) {
  RouteQuery q = query(Dtype::kF32, d, capability);
  q.demand.features.add(Feature::kBf16x6);
  return q;
}
static_assert(refusal(mma_bf16x6_sm80::kFamily, split(128, 80)) == Refusal::kNone);
static_assert(refusal(mma_bf16x6_sm80::kFamily, split(129, 80)) == Refusal::kSupports);
static_assert(refusal(mma_bf16x6_sm80::kFamily, split(64, 75)) == Refusal::kCapability);
static_assert(refusal(mma_bf16x6_sm80::kFamily, query(Dtype::kF32, 64, 90)) == Refusal::kSupports);
static_assert(refusal(simt_f32::kFamily, split(64, 90)) == Refusal::kSupports);

/// A family that simt_f32 is not: limited in every way.
constexpr KernelFamily narrow() {
  KernelFamily f = simt_f32::kFamily;
  f.name = "narrow";
  f.supports.features.remove(Feature::kKeyMask);
  f.supports.dtypes.remove(Dtype::kF32);
  f.supports.max_d = 128;
  f.min_capability = 90;
  f.max_capability = 90;
  f.deterministic = false;
  f.max_rows = 8;
  return f;
}
constexpr KernelFamily kNarrow = narrow();

struct Row {
  const char* guards_against;
  RouteQuery query;
  const char* says;  ///< "": taken
};

TEST(Route, EveryRefusalNamesTheLimitAndTheDevice) {
  RouteQuery ordered = query(Dtype::kBf16, 64, 90);
  ordered.deterministic = true;
  RouteQuery masked = query(Dtype::kBf16, 64, 90);
  masked.demand.features.add(Feature::kKeyMask);
  RouteQuery forward = ordered;
  forward.pass = Pass::kForward;
  RouteQuery many_rows = query(Dtype::kBf16, 64, 90);
  many_rows.rows.q_len = 9;
  const Row rows[] = {
      {"all_well", query(Dtype::kBf16, 128, 90), ""},
      {"old_device", query(Dtype::kBf16, 64, 89),
       "narrow needs compute capability 9.0, this device has 8.9"},
      {"machine_code_of_another_device", query(Dtype::kBf16, 64, 100), "9.0 only"},
      {"unknown_feature", masked, "narrow does not support --mask"},
      {"wrong_dtype", query(Dtype::kF32, 64, 90), "takes bf16 and f16, not f32"},
      {"wide_d", query(Dtype::kF16, 129, 90), "up to 128, not 129"},
      {"little_shared_memory", query(Dtype::kF16, 64, 90, 1024), "65024 bytes of shared memory"},
      {"many_rows", many_rows,
       "up to 8 query rows a K/V head (heads of a group times queries), not 9"},
      {"order_of_sums", ordered, "--deterministic"},
      {"forward_has_no_gradients", forward, ""},
  };
  for (const Row& row : rows) {
    const auto why = rejection(kNarrow, row.query);
    EXPECT_EQ(why.has_value(), row.says[0] != '\0') << row.guards_against;
    if (why) {
      EXPECT_THAT(why->reason, HasSubstr(row.says)) << row.guards_against;
    }
  }
}

TEST(Route, SomeFamilyOfEachTypeTakesEveryDtypeAndHeadDimension) {
  for (const AttentionType type : {AttentionType::kFlash, AttentionType::kNormal})
    for (const int capability : {75, 80, 86, 89, 90, 100, 120})
      for (const Dtype t : kDtypes)
        for (std::int64_t d = 1; d <= kMaxHeadDim; ++d) {
          bool taken = false;
          for (const KernelFamily* f : families())
            taken |= f->type == type && !rejection(*f, query(t, d, capability, kShared64K));
          EXPECT_TRUE(taken) << name(type) << " " << capability << " " << name(t) << " d = " << d;
        }
}

TEST(Route, GridsCoverEveryRowOfEveryHead) {
  const Extent e{{2, 6, 3, 130, 70, 100}, Dtype::kF32, 65};
  const std::vector<Launch> forward = simt_f32::forward(e), backward = simt_f32::backward(e);
  ASSERT_EQ(forward.size(), 1u);
  EXPECT_EQ(forward[0].entry, "simt_f32_forward_d128");
  EXPECT_EQ(forward[0].grid_x, 3 * 6 * 2);  // tiles of 64 queries
  ASSERT_EQ(backward.size(), 3u);
  EXPECT_EQ(backward[0].grid_x, 2 * 6 * 130 / 8);  // a warp a row
  EXPECT_EQ(backward[2].entry, "simt_f32_dkdv_d128");
  EXPECT_EQ(backward[2].grid_x, 2 * 3 * 2);  // tiles of 64 kept keys
}

TEST(Route, WhoeverTakesAProblemFirstIsTheFastest) {
  const auto first = [](const RouteQuery& q) { return choose(AttentionType::kFlash, q)->name; };
  EXPECT_EQ(first(query(Dtype::kBf16, 128, 90, kShared227K)), "wgmma_sm90a");
  EXPECT_EQ(first(query(Dtype::kBf16, 128, 100, kShared227K)), "mma_sm80");
  EXPECT_EQ(first(query(Dtype::kF16, 512, 90, kShared227K)), "wgmma_sm90a");
  EXPECT_EQ(first(query(Dtype::kF16, 513, 90, kShared227K)), "simt_f32");
  EXPECT_EQ(first(query(Dtype::kF16, 512, 86, kShared99K)), "mma_sm80");
  EXPECT_EQ(first(query(Dtype::kF16, 513, 80, kShared227K)), "simt_f32");
  EXPECT_EQ(first(query(Dtype::kF32, 64, 90, kShared227K)), "simt_f32");
  EXPECT_EQ(first(decode(16)), "decode_sm80");
  RouteQuery more_rows = decode(17);
  EXPECT_EQ(first(more_rows), "mma_sm80");
  more_rows.multiprocessors = kA100;
  EXPECT_EQ(first(more_rows), "decode_sm80");
  more_rows.rows.kv_heads = 100;
  EXPECT_EQ(first(more_rows), "mma_sm80");
  more_rows.rows = {.q_len = 513, .kv_len = 8192};
  EXPECT_EQ(first(more_rows), "mma_sm80");
  EXPECT_EQ(first(decode(1, Dtype::kF32)), "simt_f32");
  RouteQuery gradients_of_one_query = query(Dtype::kBf16, 128, 90, kShared227K);
  EXPECT_EQ(gradients_of_one_query.rows.rows(), 1);
  EXPECT_EQ(first(gradients_of_one_query), "wgmma_sm90a");
}

// What nobody else takes had no kernel, in `info --as` alone.
TEST(Route, WhoYieldsIsChosenWhereNobodyElseTakesTheProblem) {
  const KernelFamily* const with_other[] = {&decode_sm80::kFamily, &mma_sm80::kFamily};
  const KernelFamily* const alone[] = {&decode_sm80::kFamily, &wgmma_sm90a::kFamily};
  const RouteQuery many_rows = decode(17);
  ASSERT_TRUE(yields(decode_sm80::kFamily, many_rows));
  EXPECT_EQ(choose(AttentionType::kFlash, many_rows, with_other), &mma_sm80::kFamily);
  EXPECT_EQ(choose(AttentionType::kFlash, many_rows, alone), &decode_sm80::kFamily);
  EXPECT_EQ(choose(AttentionType::kFlash, decode(513), alone), nullptr);
  EXPECT_EQ(choose(AttentionType::kNormal, many_rows, alone), nullptr);
}

// As many CTAs as there are multiprocessors, or blocks; a padding mask is packed first; beyond d =
// 128 two consumers have the same 64 keys.
TEST(Route, WgmmaStaysOnItsMultiprocessors) {
  Extent e{{2, 6, 3, 130, 70, 100}, Dtype::kBf16, 65, false, 5};
  const int rows = wgmma_sm90a::forward_tile(128).rows();
  const std::vector<Launch> forward = wgmma_sm90a::forward(e);
  ASSERT_EQ(forward.size(), 1u);
  EXPECT_EQ(forward[0].entry, "wgmma_sm90a_forward_bf16_d128");
  EXPECT_EQ(forward[0].grid_x, 5);
  EXPECT_EQ(forward[0].box_keys, forward[0].kv_tile);
  EXPECT_EQ(forward[0].heads_at_once, 12);  // all of them: their keys are few
  e.multiprocessors = 1000;
  EXPECT_EQ(wgmma_sm90a::forward(e)[0].grid_x, ceil_div(130, rows) * 12);
  e.padded = true;
  ASSERT_EQ(wgmma_sm90a::forward(e).size(), 2u);
  EXPECT_EQ(wgmma_sm90a::forward(e)[0].entry, "wgmma_sm90a_pack");
  EXPECT_EQ(wgmma_sm90a::backward(e)[1].entry, "wgmma_sm90a_dq_bf16_d128");
  EXPECT_EQ(wgmma_sm90a::backward(e)[2].grid_x, 2 * 3 * 1);  // tiles of 128 kept keys
  e.shape.d = 129;
  EXPECT_EQ(wgmma_sm90a::backward(e)[1].entry, "wgmma_sm90a_dq_bf16_d192");
  EXPECT_EQ(wgmma_sm90a::backward(e)[2].entry, "wgmma_sm90a_dkdv_bf16_d192");
  EXPECT_EQ(wgmma_sm90a::backward(e)[2].grid_x, 2 * 3 * 2);  // tiles of 64 kept keys
  e.shape.d = 193;
  const std::vector<Launch> backward = wgmma_sm90a::backward(e);
  ASSERT_EQ(backward.size(), 3u);
  EXPECT_EQ(backward[0].entry, "mma_sm80_delta_bf16");
  EXPECT_EQ(backward[1].entry, "wgmma_sm90a_dq_bf16_d256");
  EXPECT_EQ(backward[1].grid_x, 2 * 6 * 2);  // tiles of 128 queries
  EXPECT_EQ(backward[2].entry, "wgmma_sm90a_dkdv_bf16_d256");
  EXPECT_EQ(backward[2].kv_tile, 64);
}

// Beyond d = 256 both consumers of a CTA have the same 64 queries.
TEST(Route, WgmmaSplitsWideHeads) {
  Extent e{{2, 6, 3, 130, 70, 257}, Dtype::kF16, 65, false, 1000};
  const Launch narrow = wgmma_sm90a::forward(e)[0];
  EXPECT_EQ(narrow.entry, "wgmma_sm90a_forward_f16_d384");
  EXPECT_EQ(narrow.grid_x, 3 * 12);  // blocks of 64 queries
  EXPECT_EQ(narrow.q_tile, 64);
  e.shape.d = 385;
  EXPECT_EQ(wgmma_sm90a::forward(e)[0].entry, "wgmma_sm90a_forward_f16_d512");
}

// Beyond d = 256 each gradient has a kernel, with 64 rows a CTA and boxes of other rows as high as
// its tiles.
TEST(Route, WgmmaMakesTheGradientsOfWideHeadsOneByOne) {
  Extent e{{2, 6, 3, 130, 70, 257}, Dtype::kF16, 65};
  for (const int d : {384, 512}) {
    e.shape.d = d == 384 ? 257 : 385;
    const std::vector<Launch> backward = wgmma_sm90a::backward(e);
    ASSERT_EQ(backward.size(), 4u);
    EXPECT_EQ(backward[0].entry, "mma_sm80_delta_f16");
    EXPECT_EQ(backward[1].entry, fmt::format("wgmma_sm90a_dq_f16_d{}", d));
    EXPECT_EQ(backward[1].grid_x, 3 * 12);  // blocks of 64 queries
    EXPECT_EQ(backward[1].q_tile, 64);
    EXPECT_EQ(backward[1].box_queries, 64);
    EXPECT_EQ(backward[1].box_keys, backward[1].kv_tile);
    EXPECT_EQ(backward[2].entry, fmt::format("wgmma_sm90a_dk_f16_d{}", d));
    EXPECT_EQ(backward[3].entry, fmt::format("wgmma_sm90a_dv_f16_d{}", d));
    for (const int i : {2, 3}) {
      EXPECT_EQ(backward[i].grid_x, 2 * 6);  // blocks of 64 kept keys
      EXPECT_EQ(backward[i].kv_tile, 64);
      EXPECT_EQ(backward[i].box_keys, 64);
      EXPECT_EQ(backward[i].box_queries, backward[i].q_tile);
    }
  }
  e.most_kept = 0;
  EXPECT_EQ(wgmma_sm90a::backward(e).size(), 2u);
}

TEST(Route, NoKeyKeptIsNoTileOfKeys) {
  const Extent e{{1, 1, 1, 5, 7, 8}, Dtype::kF32, 0};
  for (const Launch& launch : simt_f32::backward(e)) EXPECT_NE(launch.phase, "dkdv");
}

/// The kernel of the lines that a problem is in: none, or one line's.
std::vector<std::string> routed(const RouteTable& table, AttentionType type, Pass pass, Dtype dtype,
                                std::int64_t rows, std::int64_t d, bool idle) {
  std::vector<std::string> kernels;
  for (const Route& r : table.routes)
    if (r.type == type && r.pass == pass && r.first_d <= d && d <= r.last_d &&
        r.first_rows <= rows && (r.last_rows == 0 || rows <= r.last_rows) &&
        std::find(r.dtypes.begin(), r.dtypes.end(), dtype) != r.dtypes.end())
      kernels.push_back(idle && !r.kernel_where_idle.empty() ? r.kernel_where_idle : r.kernel);
  return kernels;
}

/// Heads that meet so many rows, and whether tiles of one head's queries leave most of a device
/// idle.
struct Heads {
  const char* are;
  std::int64_t kv_heads, group;
  bool idle;
};

/// Who can have these rows, on any GPU that there is. Heads that have it for themselves are few;
/// groups leave tiles empty with up to 8 queries a head, of 128, or a few more at some d.
std::vector<Heads> heads_of(std::int64_t rows) {
  std::vector<Heads> all = {{"few", 1, 1, true}, {"many", 132000, 1, false}};
  if (rows <= 512) all.push_back({"many, in groups with a query each", 132000, rows, true});
  if (rows % 16 == 0) all.push_back({"many, in groups of 16", 132000, 16, rows / 16 <= 8});
  return all;
}

TEST(RouteTable, GivesEveryProblemToOneKernelWhichIsTheOneThatTheRouteGivesItTo) {
  const RouteTable hopper = route_table("sm_90");
  for (const Pass pass : {Pass::kForward, Pass::kBackward})
    for (const Dtype dtype : kDtypes)
      for (const std::int64_t rows : {1, 16, 17, 32, 512, 513, 100000})
        for (const std::int64_t d : {1, 64, 256, 257, 512, 513, 1024})
          for (const Heads& heads : heads_of(rows)) {
            RouteQuery query{{{}, dtype, d, d},
                             pass,
                             90,
                             kShared227K,
                             false,
                             {heads.kv_heads, heads.group, rows / heads.group, 8192},
                             kH200};
            if (pass == Pass::kBackward) query.demand.features.add(Feature::kGradients);
            EXPECT_THAT(
                routed(hopper, AttentionType::kFlash, pass, dtype, rows, d, heads.idle),
                testing::ElementsAre(std::string(choose(AttentionType::kFlash, query)->name)))
                << name(pass) << " " << name(dtype) << " rows " << rows << " d " << d << ", heads "
                << heads.are;
            EXPECT_EQ(
                routed(hopper, AttentionType::kNormal, pass, dtype, rows, d, heads.idle).size(),
                1u);
          }
}

TEST(RouteTable, NamesWhatTakesTheVariantsThatTheFirstKernelLacks) {
  const RouteTable hopper = route_table("sm_90");
  const auto mma = std::find_if(hopper.kernels.begin(), hopper.kernels.end(),
                                [](const auto& k) { return k.kernel == mma_sm80::kFamily.name; });
  ASSERT_NE(mma, hopper.kernels.end());
  EXPECT_TRUE(mma->features.has(Feature::kSoftcap));
  for (const RouteTable::Taker& k : route_table("sm_75").kernels)
    EXPECT_NE(k.kernel, mma_sm80::kFamily.name);
}

TEST(RouteTable, NamesTheKernelThatNoProblemIsGivenUnasked) {
  const auto takers = route_table("sm_80").kernels;
  EXPECT_TRUE(std::any_of(takers.begin(), takers.end(), [](const auto& k) {
    return k.kernel == mma_bf16x6_sm80::kFamily.name && k.features.has(Feature::kBf16x6);
  }));
}

TEST(Route, SplitOperandsAreComputedByWhoSplitsThemAndByNobodyUnasked) {
  EXPECT_EQ(choose(AttentionType::kFlash, split(64, 90)), &mma_bf16x6_sm80::kFamily);
  EXPECT_EQ(choose(AttentionType::kFlash, split(129, 90)), nullptr);
  const auto why = rejection(mma_bf16x6_sm80::kFamily, query(Dtype::kF32, 64, 90));
  ASSERT_TRUE(why.has_value());
  EXPECT_EQ(why->reason, "mma_bf16x6_sm80 is for --f32_math bf16x6 alone");
}

TEST(RouteTable, IsThereForEveryKindThatIsListed) {
  for (const std::string& kind : device_kinds()) {
    const RouteTable table = route_table(kind);
    EXPECT_THAT(table.device, HasSubstr(kind));
    EXPECT_FALSE(
        routed(table, AttentionType::kFlash, Pass::kBackward, Dtype::kBf16, 64, 64, false).empty());
  }
}

}  // namespace
}  // namespace flashbench::cuda
