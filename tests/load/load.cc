// What other programs do to a machine: keeps a processor busy until it is told to end.
//
//     load spin | duty | stream      # all of a processor; 20 ms of every 50; reads and writes 256
//     MiB over and over
#include <chrono>
#include <cstddef>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

void spin_for(std::chrono::milliseconds time) {
  const Clock::time_point end = Clock::now() + time;
  while (Clock::now() < end) {
  }
}

[[noreturn]] void stream() {
  std::vector<double> memory(std::size_t{32} << 20, 1.0);
  for (;;)
    for (volatile double& x : memory) x = x + 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  const std::string_view kind = argc == 2 ? argv[1] : "";
  if (kind == "stream") stream();
  if (kind != "spin" && kind != "duty") return 2;
  for (;;) {
    spin_for(20ms);
    if (kind == "duty") std::this_thread::sleep_for(30ms);
  }
}
