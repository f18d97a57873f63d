#include "cuda/route_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/enumerators.h"
#include "core/shape.h"
#include "cuda/route.h"

namespace flashbench::cuda {
namespace {

struct Kind {
  int capability;
  std::size_t shared_kib;  ///< that one block may opt into
};

/// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
constexpr Kind kKinds[] = {{75, 64},   {80, 163},  {86, 99},   {87, 163}, {89, 99}, {90, 227},
                           {100, 227}, {103, 227}, {110, 227}, {120, 99}, {121, 99}};

std::string name(const Kind& kind) { return fmt::format("sm_{}", kind.capability); }

/// Head dimensions of one kernel; where its tiles would be mostly idle it may be another one.
struct Span {
  std::int64_t first, last;
  const KernelFamily* family;
  const KernelFamily* where_idle;

  bool operator==(const Span&) const = default;
};

/// Problems that differ in d alone. last_rows 0: and all more.
struct Rows {
  std::int64_t first, last;

  bool operator==(const Rows&) const = default;
};

/// How much of a device tiles of many queries of one head use, of a problem with many keys.
enum class Use { kFull, kIdle };

/// kIdle: by groups whose heads have one query each; few heads are the same to every family.
RouteQuery query(const Kind& kind, Pass pass, Dtype dtype, std::int64_t d, std::int64_t rows,
                 Use use) {
  const std::int64_t group = use == Use::kIdle ? rows : 1;
  RouteQuery query{.demand = {{}, dtype, d, d},
                   .pass = pass,
                   .capability = kind.capability,
                   .shared_bytes = kind.shared_kib << 10,
                   .rows = {.group = group, .q_len = rows / group, .kv_len = 1 << 20},
                   .multiprocessors = 1};
  if (pass != Pass::kForward) query.demand.features.add(Feature::kGradients);
  return query;
}

std::vector<Span> spans(const Kind& kind, AttentionType type, Pass pass, Dtype dtype,
                        const Rows& rows) {
  std::vector<Span> all;
  for (std::int64_t d = 1; d <= kMaxHeadDim; ++d) {
    const auto chosen = [&](Use use) {
      return choose(type, query(kind, pass, dtype, d, rows.first, use));
    };
    const Span span = {d, d, chosen(Use::kFull), chosen(Use::kIdle)};
    if (!all.empty() && all.back().family == span.family &&
        all.back().where_idle == span.where_idle)
      all.back().last = d;
    else
      all.push_back(span);
  }
  std::erase_if(all, [](const Span& s) { return s.family == nullptr; });
  return all;
}

/// Rows that no family tells apart.
std::vector<Rows> kinds_of_rows() {
  std::vector<std::int64_t> limits;
  for (const KernelFamily* f : families())
    for (const std::int64_t limit : {f->always_rows, f->max_rows})
      if (limit > 0) limits.push_back(limit);
  std::sort(limits.begin(), limits.end());
  std::vector<Rows> all;
  std::int64_t first = 1;
  for (const std::int64_t limit : limits) {
    if (limit >= first) all.push_back({first, limit});
    first = limit + 1;
  }
  all.push_back({first, 0});
  return all;
}

/// Anything at all, whatever takes it first.
bool runs_on(const Kind& kind, const KernelFamily& family) {
  return std::any_of(std::begin(kDtypes), std::end(kDtypes), [&](Dtype dtype) {
    RouteQuery anything = query(kind, Pass::kForward, dtype, 1, 1, Use::kFull);
    for (const Feature f : kEnumerators<Feature>)
      if (family.supports.only_for.has(f)) anything.demand.features.add(f);
    return refusal(family, anything) == Refusal::kNone;
  });
}

/// Routes of one type and pass, dtypes that go the same way together.
std::vector<Route> routes(const Kind& kind, AttentionType type, Pass pass) {
  struct Line {
    Rows rows;
    std::vector<Span> spans;
    std::vector<Dtype> dtypes;
  };
  std::vector<Line> lines;
  for (const Dtype dtype : kDtypes) {
    std::vector<Line> of_dtype;
    for (const Rows& rows : kinds_of_rows()) {
      std::vector<Span> found = spans(kind, type, pass, dtype, rows);
      if (!of_dtype.empty() && of_dtype.back().spans == found)
        of_dtype.back().rows.last = rows.last;
      else
        of_dtype.push_back({rows, std::move(found), {dtype}});
    }
    for (Line& line : of_dtype) {
      const auto same = std::find_if(lines.begin(), lines.end(), [&](const Line& other) {
        return other.rows == line.rows && other.spans == line.spans;
      });
      if (same != lines.end())
        same->dtypes.push_back(dtype);
      else
        lines.push_back(std::move(line));
    }
  }
  std::vector<Route> all;
  for (const Line& line : lines)
    for (const Span& s : line.spans)
      all.push_back({type, pass, line.dtypes, line.rows.first, line.rows.last, s.first, s.last,
                     std::string(s.family->name),
                     s.where_idle == s.family ? "" : std::string(s.where_idle->name)});
  return all;
}

}  // namespace

std::vector<std::string> device_kinds() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.push_back(name(kind));
  return names;
}

RouteTable route_table(const std::string& of) {
  const Kind& kind = *std::find_if(std::begin(kKinds), std::end(kKinds),
                                   [&](const Kind& k) { return name(k) == of; });
  RouteTable table;
  table.device = fmt::format("{}: compute capability {}, {} KiB of shared memory a block", of,
                             capability_text(kind.capability), kind.shared_kib);
  for (const AttentionType type : {AttentionType::kFlash, AttentionType::kNormal})
    for (const Pass pass : {Pass::kForward, Pass::kBackward})
      for (Route& route : routes(kind, type, pass)) table.routes.push_back(std::move(route));
  for (const KernelFamily* f : families()) {
    if (runs_on(kind, *f)) table.kernels.push_back({std::string(f->name), f->supports.features});
  }
  return table;
}

}  // namespace flashbench::cuda
