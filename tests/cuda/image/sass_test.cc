// The machine code that the build made, opcode by opcode: what a GPU will run is what was meant.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "cuda/contract/probe_argument.h"
#include "cuda/decode_sm80/decode_sm80.h"
#include "cuda/device/device.h"
#include "cuda/mma_bf16x6_sm80/mma_bf16x6_sm80.h"
#include "cuda/mma_sm80/mma_sm80.h"
#include "cuda/route.h"
#include "cuda/simt_f32/simt_f32.h"
#include "cuda/wgmma_sm90a/wgmma_sm90a.h"
#include "tests/cuda/image/cubin.h"

namespace flashbench::cuda {
namespace {

/// The cubins of a list, one path a line.
std::vector<Cubin> cubins(const std::string& list) {
  std::vector<Cubin> all;
  std::ifstream in(list);
  for (std::string path; std::getline(in, path);)
    if (!path.empty()) all.emplace_back(path);
  return all;
}

/// Of the program; of every architecture that nvcc knows where FLASHBENCH_CUBINS names that list.
std::vector<Cubin> program_cubins() {
  const char* const other = std::getenv("FLASHBENCH_CUBINS");
  return cubins(other != nullptr ? other : FLASHBENCH_PROGRAM_CUBINS);
}

struct FamilyLaunch {
  const KernelFamily* family;
  Launch launch;
};

/// Code of that architecture runs kernels of that family: 90a those that need it, numbers the rest.
bool runs(const std::string& arch, const KernelFamily& family) {
  const int capability = std::stoi(arch);
  if (arch.ends_with('a')) return family.max_capability == capability;
  return family.max_capability == 0 && capability >= family.min_capability;
}

std::vector<Launch> launches_of(const KernelFamily& family, const Extent& extent) {
  std::vector<Launch> all = family.forward(extent);
  if (family.backward != nullptr)
    for (const Launch& launch : family.backward(extent)) all.push_back(launch);
  return all;
}

/// Every kernel that the program can launch, by name, those of ragged batches too; products are not
/// its own, nor is what a family borrows from another one.
std::map<std::string, FamilyLaunch> launches() {
  std::map<std::string, FamilyLaunch> all;
  const auto add = [&](const Launch& launch, const KernelFamily& family) {
    if (launch.entry.starts_with(family.name)) all.insert({launch.entry, {&family, launch}});
  };
  for (const KernelFamily* family : families())
    for (const Features& features : {Features{}, family->supports.features})
      for (const Dtype dtype : kDtypes)
        for (std::int64_t d = 1; d <= family->supports.max_d && family->supports.dtypes.has(dtype);
             ++d)
          for (const std::int64_t q_len : {16, 32, 200}) {
            Extent extent{{1, 1, 1, q_len, 200, d}, dtype, 200};
            extent.features = features;
            for (const Launch& launch : launches_of(*family, extent)) add(launch, *family);
            extent.shape.set(Sequences::of({{q_len, 200}}));
            for (const Launch& launch : launches_of(*family, extent)) add(launch, *family);
          }
  return all;
}

/// A kernel's machine code for one architecture.
struct KernelCode {
  const Cubin& cubin;
  const std::string& kernel;
  const Launch& launch;

  int count(Opcode opcode) const { return cubin.count(kernel, opcode); }
  std::vector<Opcode> loop_with(Opcode opcode) const { return cubin.loop_with(kernel, opcode); }
};

class Sass : public testing::Test {
 protected:
  void SetUp() override {
    if (all_.empty()) GTEST_SKIP() << "no machine code in this build";
  }

  /// Looks at every kernel of a family that has products, for every architecture of this build;
  /// there are some wherever the family runs.
  template <typename Look>
  void expect_of_each_kernel(const KernelFamily& family, const Look& look) const {
    const auto all_launches = launches();
    bool any_code = false, any_kernel = false;
    for (const Cubin& cubin : all_) {
      any_code |= runs(cubin.arch(), family);
      for (const std::string& kernel : cubin.kernels()) {
        const auto of = all_launches.find(kernel);
        if (of == all_launches.end() || of->second.family != &family) continue;
        const Launch& launch = of->second.launch;
        if (launch.pair_flop == 0) continue;
        SCOPED_TRACE(kernel + " sm_" + cubin.arch());
        look(KernelCode{cubin, kernel, launch});
        any_kernel = true;
      }
    }
    EXPECT_EQ(any_kernel, any_code);
  }

  const std::vector<Cubin> all_ = program_cubins();
};

/// mma.sync of 16 x 8 x 16 that a warp executes for one tile of a launch. The code of a tile is
/// unrolled and stands once in a kernel.
int products_of_a_warp(const Launch& launch) {
  const std::int64_t of_a_tile = launch.pair_flop * launch.q_tile * launch.kv_tile / kMmaFlop;
  return static_cast<int>(of_a_tile / (launch.threads / 32));
}

TEST_F(Sass, NoKernelTouchesLocalMemory) {
  for (const Cubin& cubin : all_)
    for (const std::string& kernel : cubin.kernels()) {
      EXPECT_EQ(cubin.count(kernel, Opcode::kLdl), 0) << kernel << " sm_" << cubin.arch();
      EXPECT_EQ(cubin.count(kernel, Opcode::kStl), 0) << kernel << " sm_" << cubin.arch();
    }
}

TEST_F(Sass, ProfilersFindSourceLines) {
  for (const Cubin& cubin : all_)
    EXPECT_TRUE(cubin.has_line_info()) << cubin.image() << " sm_" << cubin.arch();
}

TEST_F(Sass, EveryLaunchHasMachineCodeWhereItsFamilyRuns) {
  std::map<std::string, std::vector<std::string>> by_arch;
  for (const Cubin& cubin : all_)
    for (const std::string& kernel : cubin.kernels()) by_arch[cubin.arch()].push_back(kernel);
  for (const auto& [arch, kernels] : by_arch)
    for (const auto& [entry, of] : launches()) {
      if (!runs(arch, *of.family)) continue;
      EXPECT_EQ(std::count(kernels.begin(), kernels.end(), entry), 1) << entry << " sm_" << arch;
    }
}

TEST_F(Sass, TensorCoresDoEveryProductOfMmaSm80) {
  expect_of_each_kernel(mma_sm80::kFamily, [](const KernelCode& code) {
    EXPECT_EQ(code.count(Opcode::kHmma), products_of_a_warp(code.launch));
    EXPECT_GT(code.count(Opcode::kLdsm), 0);
    EXPECT_GT(code.count(Opcode::kLdgsts), 0);
  });
}

// Scores are made in a loop over d, 16 columns a step, weighted sums unrolled: as many HMMA stand
// in the code as six partial products of each need.
TEST_F(Sass, TensorCoresDoEveryPartialProductOfMmaBf16x6Sm80) {
  expect_of_each_kernel(mma_bf16x6_sm80::kFamily, [](const KernelCode& code) {
    const Launch& launch = code.launch;
    const int scores = launch.phase == "forward" ? 1 : 2, sums = launch.phase == "dkdv" ? 2 : 1;
    const int streamed = launch.phase == "dkdv" ? launch.q_tile : launch.kv_tile;
    EXPECT_EQ(code.count(Opcode::kHmma),
              6 * (scores * streamed / 8 + sums * streamed / 16 * launch.padded_d / 8));
    EXPECT_GT(code.count(Opcode::kLdsm), 0);
    EXPECT_GT(code.count(Opcode::kLdgsts), 0);
  });
}

// A warp of decode_sm80 does all products of its step, for which it reads K and V once, however
// many row tiles it has, and its loop over steps has no barrier of the CTA: a warp waits for its
// own copies alone.
TEST_F(Sass, WarpsOfDecodeSm80StreamAlone) {
  expect_of_each_kernel(decode_sm80::kFamily, [](const KernelCode& code) {
    const Launch& launch = code.launch;
    const std::int64_t products = launch.pair_flop * launch.q_tile * launch.kv_tile / kMmaFlop;
    EXPECT_EQ(code.count(Opcode::kHmma), products);
    const std::vector<Opcode> step = code.loop_with(Opcode::kHmma);
    const auto in_step = [&](Opcode o) { return std::count(step.begin(), step.end(), o); };
    EXPECT_EQ(in_step(Opcode::kHmma), products);
    const int row_tiles = launch.q_tile / decode_sm80::kRows;
    EXPECT_EQ(in_step(Opcode::kLdsm), products / (2 * row_tiles))
        << "each feeds two products of every row tile";
    EXPECT_EQ(in_step(Opcode::kLdgsts), 2 * launch.kv_tile * launch.padded_d / (32 * 8));
    EXPECT_EQ(in_step(Opcode::kBar), 0);
    EXPECT_GT(code.count(Opcode::kBar), 0);
  });
}

/// wgmma that stand in a kernel: each product is one for every 16 of its sum. In the forward,
/// scores and output stand three times: where a block begins, in the loop over tiles, and where it
/// ends, alone or beside the next one's first scores; in the backward, twice: the first tile, the
/// loop. Beyond d = 256 the forward has one loop, each of whose two consumers has half of d. Beyond
/// d = 128 dK and dV have a consumer that makes P, whose first tile stands before the loop, and one
/// that makes dS, which has the loop alone; each has half of the columns. Beyond d = 256 each
/// gradient has a kernel: both consumers have a first tile and a loop; one makes S and one dP, of
/// dV the first one S.
int wgmma_of(const Launch& launch) {
  const int inner = launch.padded_d / 16;
  if (launch.phase == "forward" && launch.padded_d > 256) return inner / 2 + launch.kv_tile / 16;
  if (launch.phase == "forward") return 3 * (inner + launch.kv_tile / 16);
  if (launch.padded_d > 256) {
    const int sum = (launch.phase == "dq" ? launch.kv_tile : launch.q_tile) / 16;
    return (launch.phase == "dv" ? 2 : 4) * inner + 4 * sum;
  }
  if (launch.phase == "dq") return 2 * (2 * inner + launch.kv_tile / 16);
  if (launch.padded_d > 128) return 3 * (inner + 2 * launch.q_tile / 16);
  return 2 * (2 * inner + 2 * launch.q_tile / 16);
}

TEST_F(Sass, WgmmaDoesEveryProductOfWgmmaSm90a) {
  expect_of_each_kernel(wgmma_sm90a::kFamily, [](const KernelCode& code) {
    EXPECT_EQ(code.count(Opcode::kHgmma), wgmma_of(code.launch));
    EXPECT_GT(code.count(Opcode::kUtmaldg), 0);
    EXPECT_EQ(code.count(Opcode::kHmma), 0);
  });
}

/// R2UR that a loop over tiles may have. One before every wgmma is what operands cost that ptxas
/// does not know to be uniform: 32 to 74 of them. d = 256, and dQ and dK of 512, have more
/// descriptors than there are uniform registers; dkdv of d = 64 is faster with them, so says its
/// source.
int most_r2ur(const Launch& launch) {
  if (launch.phase == "dkdv" && launch.padded_d == 64) return 16;
  if (launch.padded_d == 512 && (launch.phase == "dq" || launch.phase == "dk")) return 11;
  return launch.padded_d == 256 ? 18 : 2;
}

TEST_F(Sass, OperandsOfWgmmaStayInUniformRegisters) {
  expect_of_each_kernel(wgmma_sm90a::kFamily, [](const KernelCode& code) {
    const std::vector<Opcode> tile = code.loop_with(Opcode::kHgmma);
    EXPECT_FALSE(tile.empty());
    EXPECT_LE(std::count(tile.begin(), tile.end(), Opcode::kR2ur), most_r2ur(code.launch));
  });
}

/// Of the exponentials of a loop, the share that is followed within two instructions by a sum or a
/// rounding: what is hidden under them.
double exponentials_with_company(const std::vector<Opcode>& loop) {
  int all = 0, with_company = 0;
  for (std::size_t i = 0; i < loop.size(); ++i) {
    if (loop[i] != Opcode::kMufu) continue;
    ++all;
    const auto end = loop.begin() + static_cast<std::ptrdiff_t>(std::min(i + 3, loop.size()));
    with_company += std::any_of(loop.begin() + static_cast<std::ptrdiff_t>(i) + 1, end,
                                [](Opcode o) { return o == Opcode::kFadd || o == Opcode::kF2fp; });
  }
  return all == 0 ? 0.0 : static_cast<double>(with_company) / all;
}

// Left to itself ptxas puts all exponentials first, 8 cycles each in which nothing else is issued,
// and then all sums.
TEST_F(Sass, SumsOfWgmmaSm90aStandBetweenExponentials) {
  expect_of_each_kernel(wgmma_sm90a::kFamily, [](const KernelCode& code) {
    if (code.launch.phase != "forward") return;
    EXPECT_GE(exponentials_with_company(code.loop_with(Opcode::kHgmma)), 0.75);
  });
}

// What one repeat of the probe's rate counts, and nothing of the slower mma.sync.
TEST_F(Sass, WgmmaDoesEveryProductOfItsProbe) {
  int seen = 0;
  for (const Cubin& cubin : all_)
    for (const std::string& kernel : cubin.kernels()) {
      if (!kernel.starts_with("probe_sm90a_wgmma_")) continue;
      SCOPED_TRACE(kernel + " sm_" + cubin.arch());
      EXPECT_EQ(cubin.arch(), "90a");
      EXPECT_EQ(cubin.count(kernel, Opcode::kHgmma), kWgmmaSteps);
      EXPECT_EQ(cubin.count(kernel, Opcode::kHmma), 0);
      ++seen;
    }
  const bool any =
      std::any_of(all_.begin(), all_.end(), [](const Cubin& c) { return c.arch() == "90a"; });
  EXPECT_EQ(seen, any ? 2 : 0);
}

// The shortest loop of a kernel is a product's: 8 x 8 or 8 x 4 sums, four steps each, and little
// else. None of it is TF32.
TEST_F(Sass, SimtF32MultipliesInF32) {
  expect_of_each_kernel(simt_f32::kFamily, [](const KernelCode& code) {
    const std::vector<Opcode> loop = code.loop_with(Opcode::kFfma);
    const auto ffma = std::count(loop.begin(), loop.end(), Opcode::kFfma);
    EXPECT_GE(ffma, 128);
    EXPECT_GE(static_cast<double>(ffma), 0.86 * static_cast<double>(loop.size()));
    EXPECT_EQ(code.count(Opcode::kHmma), 0);
  });
}

// What counts as local memory, on the code of a kernel that must use it.
TEST(SassOfTests, LocalMemoryIsSeen) {
  const std::vector<Cubin> all = cubins(FLASHBENCH_TEST_CUBINS);
  int seen = 0;
  for (const Cubin& cubin : all)
    if (cubin.has("simt_local_memory")) {
      EXPECT_GT(cubin.count("simt_local_memory", Opcode::kLdl), 0) << cubin.arch();
      EXPECT_GT(cubin.count("simt_local_memory", Opcode::kStl), 0) << cubin.arch();
      ++seen;
    }
  if (all.empty()) GTEST_SKIP() << "no machine code in this build";
  EXPECT_GT(seen, 0);
}

// Four wgmma of one tile of k = 64, and the two tiles that they multiply.
TEST(SassOfTests, HopperCodeMultipliesByWgmmaAndLoadsByTma) {
  for (const Cubin& cubin : cubins(FLASHBENCH_TEST_CUBINS)) {
    if (!cubin.has("wgmma_sm90a_product")) continue;
    EXPECT_EQ(cubin.arch(), "90a");
    EXPECT_EQ(cubin.count("wgmma_sm90a_product", Opcode::kHgmma), 4);
    EXPECT_GE(cubin.count("wgmma_sm90a_product", Opcode::kUtmaldg), 2);
    return;
  }
  GTEST_SKIP() << "no machine code for 9.0a in this build";
}

}  // namespace
}  // namespace flashbench::cuda
