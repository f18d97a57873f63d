#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sweep/settings.h"

namespace flashbench::sweep {

/// Reads a workload file: one JSON object whose names are the flags' (`known`, without dashes).
///
/// A value is a number, a string as the flag takes it ("4k", "512:16k:x2"), true or false, null
/// where the flag has a word for that (reports write null for "none"), or an array of these. `name`
/// and `source` are text for the reader; `layers` is how many layers of the model compute that.
/// `zip` holds what varies together:
///   "zip": [{"h": 32, "h_kv": 8, "d": 128}, {"h": 12, "d": 64}]   points, each a set of names
///   "zip": {"h": [32, 12], "d": [128, 64]}                        lists of one length
/// Every point is swept on its own with the names outside of `zip`; a point may have a `name`, a
/// `source` and `layers` too. A name is either inside `zip` or outside of it.
///
/// Throws UsageError, one line that begins with the path: unreadable or not JSON, nesting beyond 64
/// levels, duplicate keys, unknown names, values of a wrong type.
SweepPlan read_config(const std::string& path, const std::vector<std::string>& known);

/// The same from text; `path` is for messages.
SweepPlan parse_config(std::string_view text, const std::string& path,
                       const std::vector<std::string>& known);

/// Leaves the points whose name holds `text`. Throws UsageError where none does.
void keep_parts(SweepPlan& plan, const std::string& text, const std::string& path);

}  // namespace flashbench::sweep
