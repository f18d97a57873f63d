#include "system/atomic_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "system/error.h"
#include "system/quote.h"

namespace flashbench {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class AtomicFileTest : public testing::Test {
 protected:
  AtomicFileTest() {
    std::string name = (fs::temp_directory_path() / "atomic_file_XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~AtomicFileTest() override {
    fs::permissions(folder_, fs::perms::owner_all);
    fs::remove_all(folder_);
  }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  int files() const { return static_cast<int>(std::distance(fs::directory_iterator(folder_), {})); }

  fs::path folder_;
};

void expect_refused(const std::string& path, const std::string& why) {
  const auto one_line = AllOf(HasSubstr(why), Not(HasSubstr("\n")));
  EXPECT_THAT([&] { require_writable(path); }, ThrowsMessage<UsageError>(one_line)) << path;
  EXPECT_THAT([&] { write_file_atomically(path, "x"); }, ThrowsMessage<UsageError>(one_line))
      << path;
}

TEST_F(AtomicFileTest, ReplacesAFileAndLeavesNothingElse) {
  put("out", "old");
  write_file_atomically(path("out"), "new");
  EXPECT_EQ(contents(path("out")), "new");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, JoinsItsParts) {
  const std::string a = "ab", b, c = "cd";
  const std::span<const std::byte> parts[] = {
      std::as_bytes(std::span(a)), std::as_bytes(std::span(b)), std::as_bytes(std::span(c))};
  write_file_atomically(path("out"), parts);
  EXPECT_EQ(contents(path("out")), "abcd");
}

TEST_F(AtomicFileTest, AnAbandonedFileLeavesTheOldOne) {
  put("out", "old");
  {
    AtomicFile file(path("out"));
    file.write("half");
    EXPECT_EQ(contents(path("out")), "old");
  }
  EXPECT_EQ(contents(path("out")), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, ProbingTouchesNothing) {
  put("out", "old");
  require_writable(path("out"));
  require_writable(path("new"));
  EXPECT_EQ(contents(path("out")), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, TheNextStartRemovesWhatAKilledRunLeftAndNothingElse) {
  for (const char* left : {".flashbench-1-0.tmp", ".flashbench-0123456789abcdef.lock"})
    put(left, "");
  for (const char* other : {".flashbench-1-0.tmp2", ".flashbench-notes.tmp", "flashbench-1-0.tmp"})
    put(other, "");
  fs::create_directory(path(".flashbench-2-0.tmp"));
  AtomicFile running(path("out"));
  running.write("half");
  require_writable(path("new"));
  EXPECT_EQ(files(), 5) << "three of others, a folder, and what is being written";
  running.commit();
  EXPECT_EQ(contents(path("out")), "half");
}

TEST_F(AtomicFileTest, ALockEndsWithItsOwnerAndLeavesNoFile) {
  {
    std::vector<OutputLock> claimed, others;
    claim_output(path("out"), claimed);
    EXPECT_THAT([&] { claim_output(path("out"), others); },
                ThrowsMessage<UsageError>(HasSubstr(std::to_string(getpid()))));
    claim_output(path("out2"), others);
    EXPECT_EQ(files(), 2);
  }
  EXPECT_EQ(files(), 0);
  std::vector<OutputLock> again;
  claim_output(path("out"), again);
  EXPECT_EQ(again.size(), 1u);
}

TEST_F(AtomicFileTest, WhatIsNoFileIsClaimedByNobody) {
  std::vector<OutputLock> claimed;
  for (const char* name : {"", "-", "/dev/null"}) claim_output(name, claimed);
  EXPECT_TRUE(claimed.empty());
}

TEST_F(AtomicFileTest, RelativePathsNeedNoFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  require_writable("out");
  write_file_atomically("out", "x");
  fs::current_path(before);
  EXPECT_EQ(contents(path("out")), "x");
}

TEST_F(AtomicFileTest, KeepsPermissions) {
  put("out", "old");
  fs::permissions(path("out"), static_cast<fs::perms>(0640));
  write_file_atomically(path("out"), "new");
  EXPECT_EQ(static_cast<int>(fs::status(path("out")).permissions()), 0640);
}

TEST_F(AtomicFileTest, ASymbolicLinkStaysOne) {
  fs::create_directory(folder_ / "sub");
  put("sub/real", "old");
  fs::create_symlink("sub/real", folder_ / "middle");
  fs::create_symlink(folder_ / "middle", folder_ / "link");
  write_file_atomically(path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(contents(path("sub/real")), "new");
}

TEST_F(AtomicFileTest, ADanglingLinkGetsItsFile) {
  fs::create_symlink("later", folder_ / "link");
  require_writable(path("link"));
  write_file_atomically(path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(contents(path("later")), "new");
}

TEST_F(AtomicFileTest, ALongNameNeedsNoLongerTemporary) {
  const std::string longest(255, 'n');
  write_file_atomically(path(longest), "x");
  EXPECT_EQ(contents(path(longest)), "x");
  expect_refused(path(longest + "n"), "File name too long");
}

TEST_F(AtomicFileTest, AFifoIsWrittenToAndStaysAFifo) {
  const std::string fifo = path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  require_writable(fifo);  // must not wait for a reader
  std::string got;
  std::thread reader([&] { got = contents(fifo); });
  write_file_atomically(fifo, "through");
  reader.join();
  EXPECT_EQ(got, "through");
  EXPECT_TRUE(fs::is_fifo(fifo));
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, DevicesStayDevices) {
  require_writable("/dev/null");
  EXPECT_FALSE(is_replaced("/dev/null"));
  write_file_atomically("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(AtomicFileTest, ADescriptorsFileKeepsItsReaders) {
  put("out", "old");
  const int held = open(path("out").c_str(), O_RDWR);
  const std::string by_descriptor = "/dev/fd/" + std::to_string(held);
  require_writable(by_descriptor);
  EXPECT_FALSE(is_replaced(by_descriptor));
  write_file_atomically(by_descriptor, "new");
  char seen[4] = {};
  EXPECT_EQ(pread(held, seen, 3, 0), 3);
  EXPECT_STREQ(seen, "new");
  close(held);
}

TEST_F(AtomicFileTest, AFullDiskIsAFailureAndNotASuccess) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  EXPECT_THAT([] { write_file_atomically("/dev/full", "x"); },
              ThrowsMessage<DeviceError>(HasSubstr("No space left")));
}

TEST_F(AtomicFileTest, RefusesWhatCannotBeWritten) {
  put("file", "x");
  fs::create_symlink("loop", folder_ / "loop");
  expect_refused("", "empty name");
  expect_refused(folder_.string(), "it is a folder");
  expect_refused(path("missing/"), "it is a folder");
  expect_refused(path("missing/out"), "does not exist");
  expect_refused(path("file/out"), "Not a directory");
  expect_refused(path("loop"), "symbolic links");
  expect_refused("/proc/version_of_nothing", "/proc");
  expect_refused(path("no\nsuch/out"), "\\x0a");
}

TEST_F(AtomicFileTest, RefusesASocket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = path("s");
  ASSERT_LT(name.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, name.c_str(), name.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  expect_refused(name, "socket");
  close(fd);
}

TEST_F(AtomicFileTest, RefusesReadOnlyFilesAndFolders) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  put("file", "x");
  fs::permissions(path("file"), static_cast<fs::perms>(0400));
  expect_refused(path("file"), "Permission denied");
  fs::permissions(folder_, static_cast<fs::perms>(0500));
  expect_refused(path("new"), "Permission denied");
}

TEST(Quote, IsOneShortLine) {
  EXPECT_EQ(quote("q"), "'q'");
  EXPECT_EQ(quote("a\n\x1b[2J"), "'a\\x0a\\x1b[2J'");
  const std::string text = quote(std::string(1'000'000, 'n'));
  EXPECT_LT(text.size(), 200u);
  EXPECT_THAT(text, HasSubstr("(1000000 bytes)"));
  EXPECT_EQ(quote("aaaa\xc3\xa9", 5), "'aa...\xc3\xa9' (6 bytes)");  // no half characters
}

}  // namespace
}  // namespace flashbench
