#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace flashbench::machine {

/// A machine in a temporary folder: /proc and /sys as files.
class FakeMachine : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(::testing::TempDir()) /
            (std::string("machine_") + info->name() + std::to_string(getpid()));
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void meminfo(long total_kib, long available_kib) {
    write("proc/meminfo",
          "MemTotal:       " + std::to_string(total_kib) +
              " kB\nMemFree:  1 kB\nMemAvailable:   " + std::to_string(available_kib) + " kB\n");
  }
  void cache(int cpu, int index, const std::string& level, const std::string& type,
             const std::string& size, const std::string& shared) {
    const std::string folder = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index" +
                               std::to_string(index) + "/";
    write(folder + "level", level + "\n");
    write(folder + "type", type + "\n");
    write(folder + "size", size + "\n");
    write(folder + "shared_cpu_list", shared + "\n");
  }
  std::filesystem::path root_;
};

}  // namespace flashbench::machine
