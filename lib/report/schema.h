#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "sweep/field.h"

namespace flashbench::report {

/// The JSON Schema of a report, as text: schema/outline.json with what the field table says filled
/// in. "@fields of workload" stands for the rows that are members of a workload, and of a result
/// likewise, both where an object lists its properties and where it lists those that it requires;
/// "@words of dtype" stands for the values that a row allows.
///
/// What programs need to speak of a field stands beside its type: `title`, its `default`, and
///   x-of       "problem": what is computed; "execution": how; "timing"
///   x-flag     its flag, where that is not its own name; null: none, runs decide
///   x-key      whether it tells cases apart
///   x-order    its place where fields are listed for people
///   x-phrase   "{} queries"; absent: name and value, of a switch the name
///   x-short    "q{}", in short names
///   x-always   it is said even where it is the default
///   x-axis     pictures go along the first of 1, 2, ... that varies
///   x-column   fields that are said together; nothing of them is "no " and this word
///   x-follows  the field whose value it has by default
///
/// Throws std::runtime_error for an outline that asks for what the table has not.
std::string schema_text(const nlohmann::ordered_json& outline,
                        std::span<const sweep::Field> table = sweep::fields());

}  // namespace flashbench::report
