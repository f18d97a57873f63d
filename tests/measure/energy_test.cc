#include "measure/energy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace flashbench::measure {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class FakePowercap : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) /
            ("powercap_" + std::to_string(::getpid()) + "_" +
             ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder());
  }
  void TearDown() override { fs::remove_all(root_); }
  fs::path folder() const { return root_ / "sys/class/powercap"; }
  void domain(const std::string& folder_name, const std::string& name, const std::string& uj) {
    const fs::path path = folder() / folder_name;
    fs::create_directories(path);
    std::ofstream(path / "name") << name << "\n";
    std::ofstream(path / "max_energy_range_uj") << "1000000\n";
    if (!uj.empty()) std::ofstream(path / "energy_uj") << uj << "\n";
  }

  fs::path root_;
};

TEST_F(FakePowercap, PackagesAddUpAndTheirPartsAndTwinsDoNot) {
  domain("intel-rapl:0", "package-0", "100000");
  domain("intel-rapl:0:0", "core", "50000");
  domain("intel-rapl:1", "package-1", "200000");
  domain("intel-rapl:2", "psys", "900000");
  domain("intel-rapl-mmio:0", "package-0", "100000");
  EnergyMeter meter(root_);
  EXPECT_EQ(meter.missing(), "");
  EXPECT_EQ(meter.read_j(), 0.0) << "the first reading only begins";
  domain("intel-rapl:0", "package-0", "400000");
  domain("intel-rapl:0:0", "core", "350000");
  domain("intel-rapl:1", "package-1", "300000");
  domain("intel-rapl-mmio:0", "package-0", "400000");
  EXPECT_NEAR(meter.read_j().value(), 0.4, 1e-12);
}

TEST_F(FakePowercap, ACounterThatWrapsLosesNothing) {
  domain("intel-rapl:0", "package-0", "900000");
  EnergyMeter meter(root_);
  meter.read_j();
  domain("intel-rapl:0", "package-0", "100000");
  EXPECT_NEAR(meter.read_j().value(), 0.2, 1e-12);
}

TEST_F(FakePowercap, EnergyIsSharedOverTheCalls) {
  domain("intel-rapl:0", "package-0", "0");
  EnergyMeter meter(root_);
  int calls = 0;
  const auto launch = [&] {
    ++calls;
    domain("intel-rapl:0", "package-0", std::to_string(1000 * calls));
  };
  const auto stop = [&] { return calls == 5; };
  EXPECT_NEAR(energy_per_call_j([&] { return meter.read_j(); }, launch, 3600, stop).value(), 1e-3,
              1e-12);
  EXPECT_EQ(calls, 5);
}

TEST(Energy, ACounterThatMovesSeldomIsReadWhereItMoves) {
  int launches = 0;
  const auto launch = [&] { ++launches; };
  // Steps of 40 J at every tenth launch of 4 J: read at any other moment, up to 36 J are missing.
  const auto read_j = [&]() -> std::optional<double> { return 40.0 * ((launches + 3) / 10); };
  const auto stop = [&] { return launches == 1000; };
  EXPECT_NEAR(energy_per_call_j(read_j, launch, 1e-9, stop).value(), 4.0, 1e-12);
  EXPECT_LT(launches, 30);
}

TEST_F(FakePowercap, WhatIsMissingIsNamed) {
  EXPECT_THAT(EnergyMeter(root_).missing(), HasSubstr("no RAPL package"));
  EXPECT_THAT(EnergyMeter(root_ / "nowhere").missing(), HasSubstr("no RAPL package"));
  EXPECT_FALSE(EnergyMeter(root_).read_j());
  domain("intel-rapl:0", "package-0", "");
  EnergyMeter unreadable(root_);
  EXPECT_THAT(unreadable.missing(), HasSubstr("cannot be read"));
  EXPECT_FALSE(unreadable.read_j());
  int calls = 0;
  EXPECT_FALSE(energy_per_call_j([&] { return unreadable.read_j(); }, [&] { ++calls; }, 1,
                                 [] { return false; }));
  EXPECT_EQ(calls, 0) << "nothing is run for a number that cannot be read";
}

}  // namespace
}  // namespace flashbench::measure
