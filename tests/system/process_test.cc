#include "system/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "system/error.h"

namespace flashbench::process {
namespace {

struct Streams {
  Descriptor in{::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null"};
  Descriptor out{::memfd_create("out", MFD_CLOEXEC), "memory"};

  Start shell(const std::string& command) const {
    return {.argv = {"/bin/sh", "-c", command}, .in = in.get(), .out = out.get(), .err = out.get()};
  }
  std::string said() const {
    char text[256];
    const ssize_t got = ::pread(out.get(), text, sizeof text, 0);
    return {text, got > 0 ? static_cast<std::size_t>(got) : 0};
  }
};

TEST(Process, EndsWithItsCode) {
  const Streams run;
  Process process(run.shell("echo here; exit 3"));
  EXPECT_TRUE(process.ended(10'000));
  EXPECT_EQ(exit_code(process.reap()), 3);
  EXPECT_EQ(run.said(), "here\n");
}

TEST(Process, ASignalIs128AndItsNumber) {
  const Streams run;
  Process process(run.shell("kill -SEGV $$"));
  EXPECT_EQ(exit_code(process.reap()), 128 + SIGSEGV);
}

TEST(Process, VariablesTakeTheirPlaceAndTheOthersStay) {
  const Streams run;
  ::setenv("FLASHBENCH_TEST_KEPT", "kept", 1);
  ::setenv("FLASHBENCH_TEST_SET", "before", 1);
  Start start = run.shell("echo $FLASHBENCH_TEST_KEPT $FLASHBENCH_TEST_SET");
  start.environment = {"FLASHBENCH_TEST_SET=after"};
  Process process(start);
  process.reap();
  EXPECT_EQ(run.said(), "kept after\n");
}

TEST(Process, KeepsTheDescriptorThatItIsGivenAndNoOther) {
  const Streams run;
  const Descriptor kept(::memfd_create("kept", MFD_CLOEXEC), "memory");
  const Descriptor other(::memfd_create("other", MFD_CLOEXEC), "memory");
  Start start =
      run.shell("for fd in " + std::to_string(kept.get()) + " " + std::to_string(other.get()) +
                "; do test -e /proc/self/fd/$fd && echo yes || echo no; done");
  start.kept = kept.get();
  Process process(start);
  process.reap();
  EXPECT_EQ(run.said(), "yes\nno\n");
}

TEST(Process, IsGoneWithItsOwner) {
  const Streams run;
  pid_t id = -1;
  {
    const Process process(run.shell("sleep 100"));
    id = process.id();
    EXPECT_FALSE(process.ended(0));
  }
  EXPECT_EQ(::kill(id, 0), -1) << "reaped, too";
}

TEST(Process, TakesItsChildrenWithIt) {
  const Streams run;
  {
    Start start = run.shell("sleep 100 & echo $!; wait");
    start.own_group = true;
    const Process process(start);
    for (int i = 0; i < 1000 && run.said().empty(); ++i) process.ended(10);
  }
  const pid_t child = static_cast<pid_t>(std::stol(run.said()));
  for (int i = 0; i < 1000 && ::kill(child, 0) == 0; ++i) ::usleep(10'000);  // init reaps it
  EXPECT_EQ(::kill(child, 0), -1);
}

TEST(Process, WhatCannotBeExecutedIs127) {
  const Streams run;
  Process process({.argv = {"/nowhere/at/all"},
                   .in = run.in.get(),
                   .out = run.out.get(),
                   .err = run.out.get()});
  EXPECT_EQ(exit_code(process.reap()), kCannotExecute);
  EXPECT_NE(run.said().find("No such file"), std::string::npos);
}

TEST(Descriptor, SaysWhatWasRefused) {
  EXPECT_THROW(Descriptor(::open("/nowhere/at/all", O_RDONLY), "nowhere"), DeviceError);
}

}  // namespace
}  // namespace flashbench::process
