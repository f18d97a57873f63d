#include "system/energy_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace flashbench {
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

TEST_F(FakePowercap, WhatIsMissingIsNamed) {
  EXPECT_THAT(EnergyMeter(root_).missing(), HasSubstr("no RAPL package"));
  EXPECT_THAT(EnergyMeter(root_ / "nowhere").missing(), HasSubstr("no RAPL package"));
  EXPECT_FALSE(EnergyMeter(root_).read_j());
  domain("intel-rapl:0", "package-0", "");
  EnergyMeter unreadable(root_);
  EXPECT_THAT(unreadable.missing(), HasSubstr("cannot be read"));
  EXPECT_FALSE(unreadable.read_j());
}

}  // namespace
}  // namespace flashbench
