#include <cstdio>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>

#include "report/schema.h"

/// write_schema OUTLINE SCHEMA: the schema of a report, for the build.
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    const auto outline = nlohmann::ordered_json::parse(std::ifstream(argv[1]));
    std::ofstream out(argv[2]);
    out << flashbench::report::schema_text(outline);
    return out.flush() ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "write_schema: %s: %s\n", argv[1], e.what());
    return 1;
  }
}
