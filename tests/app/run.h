#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "app/command_line/cli.h"
#include "app/commands.h"
#include "report/json.h"
#include "tests/app/fakes.h"

namespace flashbench::app {

/// A folder of its own, which goes with the test.
class TempFolder {
 public:
  TempFolder() {
    if (::mkdtemp(name_.data()) == nullptr) throw std::runtime_error("no temporary folder");
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(name_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string path(const std::string& file) const { return name_ + "/" + file; }

 private:
  std::string name_ = ::testing::TempDir() + "/flashbench_fakes_XXXXXX";
};

/// A command line, run in this process on the fake backend.
class RunOnFakes : public ::testing::Test {
 protected:
  /// Of `flashbench WORDS --json FILE`; what a UsageError and an UnavailableError are is main()'s.
  ExitCode run(std::vector<std::string> words) {
    words.insert(words.begin(), "flashbench");
    words.insert(words.end(), {"--json", json_});
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    std::exception_ptr thrown;
    ExitCode code = ExitCode::kFailed;
    try {
      const CommandLine line = *parse_command_line(words, all_commands, backends_).run;
      code = line.command->run(line, Runtime{backends_, script.clock});
    } catch (...) {
      thrown = std::current_exception();
    }
    out = ::testing::internal::GetCapturedStdout();
    err = ::testing::internal::GetCapturedStderr();
    if (thrown) std::rethrow_exception(thrown);
    return code;
  }

  /// bench of a problem of some hundred bytes.
  ExitCode bench(const std::vector<std::string>& more) {
    std::vector<std::string> words = {"bench",      "--quiet", "--b",    "1",    "--h",
                                      "1",          "--q_len", "8",      "--d",  "4",
                                      "--min_time", "50ms",    "--type", "flash"};
    return run(replaced(std::move(words), more));
  }

  report::Report report() const { return report::read_report(json_); }
  /// Of a report with one result.
  report::Result result() const {
    const report::Report r = report();
    EXPECT_EQ(r.results.size(), 1u);
    return r.results.at(0);
  }
  /// The first warning that begins like this; "" where none does.
  std::string warning(std::string_view begin) const {
    for (const std::string& w : result().warnings)
      if (w.starts_with(begin)) return w;
    return "";
  }

  Script script;
  Commands all_commands = commands();
  std::string out, err;

 private:
  /// Flags of `more` take the place of those in `words`.
  static std::vector<std::string> replaced(std::vector<std::string> words,
                                           const std::vector<std::string>& more) {
    for (const std::string& word : more) {
      const auto known = std::find(words.begin(), words.end(), word);
      if (word.starts_with("--") && known != words.end()) words.erase(known, known + 2);
    }
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  FakeBackend backend_{script};
  Backends backends_ = {&backend_};
  TempFolder folder_;
  std::string json_ = folder_.path("report.json");
};

}  // namespace flashbench::app
