#include "report/writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "report/json.h"
#include "system/error.h"
#include "tests/report/fixture.h"

namespace flashbench::report {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Writer : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("writer" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string read(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(path(name)).rdbuf();
    return text.str();
  }
  std::string error_of(const Outputs& outputs, const std::string& trace = "") const {
    try {
      require_distinct(outputs, {{"--trace", trace}});
      const ReportWriter writer(outputs);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "accepted";
  }
  fs::path folder_;
};

TEST_F(Writer, FinishedCasesAreInThePartialFileAndTheGoodFileIsUntouched) {
  std::ofstream(path("r.json")) << "yesterday";
  ReportWriter writer({path("r.json"), "", ""});
  Report report = fixed_report();
  report.results.resize(1);
  writer.update(report);
  EXPECT_EQ(read("r.json"), "yesterday");
  EXPECT_EQ(read_report(path("r.json.partial")).results.size(), 1u);
  writer.update(fixed_report());
  EXPECT_EQ(read_report(writer.partial_path()).results.size(), 2u);
}

TEST_F(Writer, TheEndPutsEveryOutputInPlace) {
  ReportWriter writer({path("r.json"), path("r.csv"), path("r.md")});
  writer.update(fixed_report());
  writer.finish(fixed_report());
  EXPECT_EQ(read("r.json"), to_json_text(fixed_report()));
  EXPECT_THAT(read("r.csv"), HasSubstr("command,status"));
  EXPECT_THAT(read("r.md"), HasSubstr("| type |"));
  EXPECT_FALSE(fs::exists(path("r.json.partial")));
  EXPECT_FALSE(writer.stdout_taken());
}

TEST_F(Writer, CheckingLeavesNothingBehind) {
  { const ReportWriter writer({path("r.json"), path("r.csv"), ""}); }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(Writer, TwoOutputsOnStdoutAreRefused) {
  EXPECT_THAT(error_of({"-", "-", ""}), HasSubstr("--json and --csv both write to stdout"));
  EXPECT_THAT(error_of({"", "-", "-"}), HasSubstr("--csv and --md both write to stdout"));
  EXPECT_EQ(error_of({"-", "", path("r.md")}), "accepted");
  EXPECT_TRUE(ReportWriter({"", "", "-"}).stdout_taken());
}

TEST_F(Writer, OneFileForTwoOutputsIsRefused) {
  EXPECT_THAT(error_of({path("r"), path("r"), ""}), HasSubstr("--json and --csv both write to"));
  EXPECT_THAT(error_of({"", path("r"), path("x/../r")}), HasSubstr("--csv and --md both write to"));
  EXPECT_THAT(error_of({"", "", path("r")}, path("r")),
              HasSubstr("--trace and --md both write to"));
  EXPECT_EQ(error_of({"/dev/null", "/dev/null", ""}), "accepted");
}

TEST_F(Writer, APartialFileIsNoOutput) {
  EXPECT_THAT(error_of({path("r"), path("r.partial"), ""}),
              HasSubstr("--csv and the unfinished report of --json both write to"));
  EXPECT_THAT(error_of({path("r"), "", ""}, path("r.partial")), HasSubstr("--trace and the"));
  EXPECT_EQ(error_of({"", path("r"), path("r.partial")}), "accepted");
}

TEST_F(Writer, AFileThatADescriptorLeadsToGetsNoPartialFile) {
  const int held = open(path("r.json").c_str(), O_RDWR | O_CREAT, 0666);
  ASSERT_GE(held, 0);
  ReportWriter writer({"/dev/fd/" + std::to_string(held), "", ""});
  EXPECT_EQ(writer.partial_path(), "");
  writer.update(fixed_report());
  writer.finish(fixed_report());
  EXPECT_EQ(read("r.json"), to_json_text(fixed_report()));
  close(held);
}

TEST_F(Writer, AnOutputThatIsLostTakesNoOtherAlong) {
  fs::create_directory(folder_ / "gone");
  ReportWriter writer({path("gone/r.json"), path("r.csv"), path("r.md")});
  Report first = fixed_report();
  first.results.resize(1);
  EXPECT_EQ(writer.update(first), "");
  fs::remove_all(folder_ / "gone");
  EXPECT_THAT(writer.update(fixed_report()), HasSubstr("does not exist"));
  EXPECT_EQ(writer.update(fixed_report()), "") << "told once";
  EXPECT_THAT(writer.finish(fixed_report()), ElementsAre(HasSubstr("gone' does not exist")));
  EXPECT_THAT(read("r.csv"), HasSubstr("command,status"));
  EXPECT_THAT(read("r.md"), HasSubstr("| type |"));
}

TEST_F(Writer, WhatIsKeptOfALostReportIsSaid) {
  ReportWriter writer({path("r.json"), "", ""});
  Report first = fixed_report();
  first.results.resize(1);
  writer.update(first);
  fs::create_directory(folder_ / "r.json");
  EXPECT_THAT(writer.finish(fixed_report()), ElementsAre(HasSubstr("r.json.partial' has 1 of 2")));
  EXPECT_EQ(read_report(path("r.json.partial")).results.size(), 1u);
}

TEST_F(Writer, AFileIsWrittenByOneRunAtATime) {
  {
    const ReportWriter first({path("r.json"), path("r.csv"), ""});
    fs::create_symlink("r.csv", folder_ / "link");
    EXPECT_THAT(error_of({path("r.json"), "", ""}), HasSubstr("another run"));
    EXPECT_THAT(error_of({"", "", path("link")}), HasSubstr(std::to_string(getpid())));
    EXPECT_EQ(error_of({path("other.json"), "", ""}), "accepted");
  }
  EXPECT_EQ(error_of({path("r.json"), path("r.csv"), ""}), "accepted");
}

TEST_F(Writer, StdoutIsADashByAnyName) {
  EXPECT_TRUE(names_stdout("/dev/stdout"));
  EXPECT_TRUE(names_stdout("/dev/fd/1"));
  EXPECT_FALSE(names_stdout("/dev/fd/2"));
  EXPECT_FALSE(names_stdout("stdout"));
}

TEST_F(Writer, UnwritablePathsAreFoundBeforeTheWork) {
  EXPECT_NE(error_of({path("no/such/folder/r.json"), "", ""}), "accepted");
  EXPECT_NE(error_of({"", folder_.string(), ""}), "accepted");
}

TEST_F(Writer, DevicesGetNoPartialFile) {
  ReportWriter writer({"/dev/null", "", ""});
  EXPECT_EQ(writer.partial_path(), "");
  writer.update(fixed_report());
  writer.finish(fixed_report());
  EXPECT_FALSE(fs::exists("/dev/null.partial"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(Writer, StdoutGetsTheWholeReportOnce) {
  ReportWriter writer({"-", "", ""});
  ::testing::internal::CaptureStdout();
  writer.update(fixed_report());
  writer.finish(fixed_report());
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), to_json_text(fixed_report()));
}

}  // namespace
}  // namespace flashbench::report
