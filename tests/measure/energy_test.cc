#include "measure/energy.h"

#include <gtest/gtest.h>

#include "measure/fake_clock.h"

namespace flashbench::measure {
namespace {

/// Launches of 10 ms, each of which the counter counts as `step_j`, `every` launches at a time.
struct Device {
  FakeClock clock{0.010};
  double step_j = 4;
  int every = 1;

  void launch() { clock.run_next(); }
  std::optional<double> read_j() const { return step_j * (clock.launches() / every * every); }
  std::optional<double> per_call_j(double least_s) {
    return energy_per_call_j([&] { return read_j(); }, [&] { launch(); }, least_s, clock,
                             [] { return false; });
  }
};

TEST(Energy, IsSharedOverTheCallsOfTheTimeThatWasAskedFor) {
  Device device;
  EXPECT_NEAR(device.per_call_j(1).value(), 4.0, 1e-12);
  EXPECT_NEAR(device.clock.launches(), 101, 1) << "one to meet a step, then a second of them";
}

// Steps of 40 J at every tenth launch of 4 J: read at any other moment, up to 36 J are missing.
TEST(Energy, ACounterThatMovesSeldomIsReadWhereItMoves) {
  Device device{.every = 10};
  device.launch();
  EXPECT_NEAR(device.per_call_j(0.001).value(), 4.0, 1e-12);
  EXPECT_LT(device.clock.launches(), 30);
}

TEST(Energy, ACounterThatStandsStillIsNotWaitedForForEver) {
  Device device{.every = 1 << 30};
  EXPECT_EQ(device.per_call_j(0.1), 0.0);
  EXPECT_LT(device.clock.now_s() - 100, 1);
}

TEST(Energy, AnInterruptionEndsIt) {
  Device device;
  const auto stop = [&] { return device.clock.launches() == 5; };
  const auto j = energy_per_call_j([&] { return device.read_j(); }, [&] { device.launch(); }, 3600,
                                   device.clock, stop);
  EXPECT_NEAR(j.value(), 4.0, 1e-12);
  EXPECT_EQ(device.clock.launches(), 5);
}

TEST(Energy, ACounterThatCannotBeReadAnyMoreGivesNoNumber) {
  for (const int last : {0, 3}) {  // within the first step, and in the second
    Device device;
    const auto read_j = [&]() -> std::optional<double> {
      if (device.clock.launches() > last) return std::nullopt;
      return device.read_j();
    };
    EXPECT_FALSE(energy_per_call_j(
        read_j, [&] { device.launch(); }, 1, device.clock, [] { return false; }));
    EXPECT_EQ(device.clock.launches(), last + 1) << "and nothing is launched for it";
  }
}

TEST(Energy, NothingIsRunForANumberThatCannotBeRead) {
  Device device;
  EXPECT_FALSE(energy_per_call_j([] { return std::optional<double>(); }, [&] { device.launch(); },
                                 1, device.clock, [] { return false; }));
  EXPECT_EQ(device.clock.launches(), 0);
}

}  // namespace
}  // namespace flashbench::measure
