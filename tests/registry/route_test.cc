// Which backend and kernel a request gets, on lists of backends that are handed in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "registry/registry.h"
#include "system/error.h"

namespace flashbench::registry {
namespace {

using ::testing::HasSubstr;

class ListedKernel final : public Kernel {
 public:
  ListedKernel(std::string name, AttentionType type, std::int64_t max_d = 1024)
      : info_{std::move(name), type, ""}, max_d_(max_d) {}
  const KernelInfo& info() const override { return info_; }
  bool yields(const Problem&, const Execution&) const override { return slower; }
  Supports supports() const override {
    return {.features = only_for, .dtypes = {Dtype::kF32}, .max_d = max_d_, .only_for = only_for};
  }
  std::size_t workspace_bytes(const Problem&, const Execution&) const override { return 0; }
  double predicted_flop(const Problem&, const Execution&) const override { return 0; }
  std::unique_ptr<Plan> plan(const Problem&, const Execution&, const Inputs&) const override {
    return nullptr;
  }

  bool slower = false;     ///< than those after it
  Features only_for = {};  ///< and its only features

 private:
  KernelInfo info_;
  std::int64_t max_d_;
};

class ListedBackend final : public Backend {
 public:
  ListedBackend(BackendInfo info, std::vector<const Kernel*> kernels)
      : info_(std::move(info)), kernels_(std::move(kernels)) {}
  const BackendInfo& info() const override { return info_; }
  const std::vector<const Kernel*>& kernels() override { return kernels_; }
  std::optional<std::string> absent(std::optional<int>) override { return why_absent; }
  Execution execution(const ExecutionRequest& asked, Dtype) override {
    if (!why_no_threads.empty()) throw UnavailableError(why_no_threads);
    return {.device = asked.device.value_or(0)};
  }
  Place place(const Execution&) override { return {}; }
  ExecutionTraits traits(const Execution&) override { return {}; }
  std::vector<Execution> with_own_peaks(const ExecutionRequest&) override { return {}; }
  bool same_peaks(const Execution&, const Execution&) override { return true; }
  double peak_flop_s(const Execution&, Dtype) override { return 1; }
  double peak_bytes_s(const Execution&) override { return 1; }
  PeakSubject peak_subject(const Execution&, std::optional<Dtype>) override { return {}; }

  std::vector<IsaStatus> isas() override { return levels; }

  std::optional<std::string> why_absent;
  std::string why_no_threads;
  std::vector<IsaStatus> levels;

 private:
  BackendInfo info_;
  std::vector<const Kernel*> kernels_;
};

/// A processor, and two accelerators beside it.
class Routing : public ::testing::Test {
 protected:
  std::string kernel(const Request& r, std::int64_t d = 64) { return text(r, d, true); }
  std::string reason(const Request& r, std::int64_t d = 64) { return text(r, d, false); }

  ListedKernel cpu_flash{"cpu_flash", AttentionType::kFlash};
  ListedKernel cpu_paper{"paper", AttentionType::kPaper};
  ListedKernel old_flash{"old_flash", AttentionType::kFlash};
  ListedKernel narrow{"narrow", AttentionType::kFlash, 64}, wide{"wide", AttentionType::kFlash};
  ListedBackend cpu{{.id = kProcessor, .title = "CPU", .takes_isa = true, .takes_threads = true},
                    {&cpu_flash, &cpu_paper}};
  ListedBackend old{{.id = {"old"}, .title = "Old", .device_noun = "card"}, {&old_flash}};
  ListedBackend fresh{{.id = {"fresh"}, .title = "Fresh", .device_noun = "card"}, {&narrow, &wide}};
  Backends backends = {&cpu, &old, &fresh};

 private:
  std::string text(const Request& r, std::int64_t d, bool want_kernel) {
    Problem p;
    p.shape = {1, 1, 1, 8, 8, d};
    const auto found = route(p, r, backends);
    if (const auto* why = std::get_if<Rejection>(&found))
      return want_kernel ? "refused: " + why->reason : why->reason;
    return std::get<Route>(found).kernel->info().name;
  }
};

TEST_F(Routing, TheLastBackendThatIsHereIsTakenFirst) {
  EXPECT_EQ(kernel({}), "narrow");
  fresh.why_absent = "not plugged in";
  EXPECT_EQ(kernel({}), "old_flash");
  old.why_absent = "broken";
  EXPECT_EQ(kernel({}), "cpu_flash");
}

TEST_F(Routing, KernelsAreTriedInTheirOrder) {
  EXPECT_EQ(kernel({}, 64), "narrow");
  EXPECT_EQ(kernel({}, 65), "wide");
  EXPECT_THAT(reason({.kernel = "narrow"}, 65), HasSubstr("narrow"));
}

// What nobody else takes was refused, or a kernel could not be named to be measured.
TEST_F(Routing, AKernelThatYieldsIsTakenWhereNoOtherTakesTheProblemOrByName) {
  narrow.slower = true;
  EXPECT_EQ(kernel({}, 64), "wide");
  EXPECT_EQ(kernel({.kernel = "narrow"}, 64), "narrow");
  wide.slower = true;
  EXPECT_EQ(kernel({}, 64), "narrow");
  EXPECT_EQ(kernel({}, 65), "wide");
}

// The last kernel, which splits nothing, said that it does not: no word of the limit.
TEST_F(Routing, WhatNobodyComputesIsRefusedByTheKernelForSuchProblems) {
  narrow.only_for = {Feature::kBf16x6};
  Problem p;
  p.shape = {1, 1, 1, 8, 8, 65};
  p.f32_math = F32Math::kBf16x6;
  const auto why = [&] { return std::get<Rejection>(route(p, {}, backends)).reason; };
  EXPECT_EQ(why(), "narrow takes head dimensions up to 64, not 65");
  EXPECT_EQ(kernel({}, 64), "wide") << "a problem that is not of its kind";
  p.f32_math = F32Math::kIeee;
  p.softcap = 1;
  EXPECT_EQ(why(), "wide does not support --softcap") << "its reason is not the one to give";
}

TEST_F(Routing, WhatOnlyTheProcessorHasLeadsThere) {
  EXPECT_EQ(kernel({.execution = {.isa = Isa::kAvx2, .device = {}}}), "cpu_flash");
  EXPECT_EQ(kernel({.execution = {.isa = {}, .threads = 2, .device = {}}}), "cpu_flash");
  EXPECT_EQ(kernel({.type = AttentionType::kPaper}), "paper");
  EXPECT_EQ(
      reason({.backend = BackendId{"old"}, .execution = {.isa = {}, .threads = 2, .device = {}}}),
      "--threads 2 is of the processor; --backend old has none");
  EXPECT_THAT(reason({.type = AttentionType::kPaper, .backend = BackendId{"old"}}),
              HasSubstr("use --backend cpu"));
}

TEST_F(Routing, ADeviceIsNamedForWhoeverHasDevicesAndItsAbsenceIsSaid) {
  EXPECT_EQ(kernel({.execution = {.isa = {}, .device = 0}}), "narrow");
  EXPECT_EQ(kernel({.backend = BackendId{"old"}, .execution = {.isa = {}, .device = 0}}),
            "old_flash");
  fresh.why_absent = "not plugged in";
  EXPECT_EQ(reason({.execution = {.isa = {}, .device = 3}}),
            "--device 3 is not available: not plugged in");
}

TEST_F(Routing, AForcedKernelBringsItsBackendAndContradictionsAreRefused) {
  EXPECT_EQ(kernel({.kernel = "old_flash"}), "old_flash");
  EXPECT_EQ(reason({.backend = BackendId{"fresh"}, .kernel = "old_flash"}),
            "kernel old_flash is of backend old, not fresh");
  EXPECT_EQ(reason({.type = AttentionType::kNormal, .kernel = "wide"}),
            "kernel wide computes type flash, not normal");
  EXPECT_THROW(kernel({.kernel = "none"}), UsageError);
  EXPECT_THROW(kernel({.backend = BackendId{"none"}}), UsageError);
}

// A kernel of plain C++ ran under the name of a level that no such processor has.
TEST_F(Routing, AnIsaLevelThatIsNotHereIsRefusedForEveryKernel) {
  cpu.levels = {
      {.isa = Isa::kAvx2, .absent = {}, .tile = "", .chosen_for = {}},
      {.isa = Isa::kNeon, .absent = "this processor has no neon", .tile = "", .chosen_for = {}}};
  for (const AttentionType type : {AttentionType::kFlash, AttentionType::kPaper}) {
    EXPECT_EQ(reason({.type = type, .execution = {.isa = Isa::kNeon, .device = {}}}),
              "this processor has no neon");
    EXPECT_NE(kernel({.type = type, .execution = {.isa = Isa::kAvx2, .device = {}}}), "");
  }
}

// A sweep over --threads ended at the first number that the system did not start.
TEST_F(Routing, ThreadsThatCannotBeHadAreAReasonOfThatCase) {
  cpu.why_no_threads = "the system starts 1 of 2 threads";
  EXPECT_EQ(reason({.execution = {.isa = {}, .threads = 2, .device = {}}}), cpu.why_no_threads);
  EXPECT_EQ(reason({.kernel = "cpu_flash"}), cpu.why_no_threads);
  EXPECT_EQ(kernel({}), "narrow");
}

TEST_F(Routing, WhatRefusesIsWhatWasAsked) {
  const auto who = [&](const Request& r) {
    return backend_of(r, {&cpu, &old, &fresh}).info().id.text;
  };
  EXPECT_EQ(who({.execution = {.isa = {}, .device = 3}}), "fresh");
  EXPECT_EQ(who({.kernel = "old_flash"}), "old");
  EXPECT_EQ(who({.type = AttentionType::kPaper}), "cpu");
  EXPECT_EQ(who({.backend = BackendId{"old"}, .kernel = "wide"}), "old");
}

TEST_F(Routing, TheProgramHasTheProcessorFirst) {
  ASSERT_FALSE(registry::backends().empty());
  EXPECT_EQ(registry::backends().front()->info().id, kProcessor);
  EXPECT_FALSE(registry::backends().front()->absent(std::nullopt));
}

}  // namespace
}  // namespace flashbench::registry
