// g++ 12 sees an overlapping copy in std::string::replace where there is none (GCC bug 105329),
// when valijson is inlined.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wrestrict"
#endif

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

/// validate_report SCHEMA DOCUMENT: exit 0 when the JSON Schema accepts the document, else 1 and
/// the reasons on stdout.
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  using valijson::adapters::NlohmannJsonAdapter;
  const auto schema_json = nlohmann::json::parse(std::ifstream(argv[1]));
  const auto document = nlohmann::json::parse(std::ifstream(argv[2]));
  valijson::Schema schema;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(NlohmannJsonAdapter(schema_json), schema);
  valijson::ValidationResults results;
  if (valijson::Validator().validate(schema, NlohmannJsonAdapter(document), &results)) return 0;
  valijson::ValidationResults::Error error;
  while (results.popError(error)) {
    std::string where;
    for (const std::string& part : error.context) where += part;
    std::printf("%s: %s\n", where.c_str(), error.description.c_str());
  }
  return 1;
}
