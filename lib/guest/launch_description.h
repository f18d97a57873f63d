#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/problem.h"
#include "guest/expression.h"
#include "kernel/supports.h"
#include "ptx/text/syntax.h"

// How somebody's PTX is launched: the JSON file of --launch. The README of this room describes it.
namespace flashbench::guest {

/// A parameter of a kernel, in the order of its declaration.
struct LaunchArgument {
  std::string where;                 ///< of it in the file, for errors
  std::string memory = {};           ///< a tensor's or a workspace's name: its address
  ptx::Type type = ptx::Type::kU64;  ///< of a number
  std::optional<Expression> number = {};
};

/// Numbers of a tensor or workspace, times another number, to a tensor or workspace.
struct LaunchCopy {
  std::string from, to;
  std::optional<Expression> times = {};  ///< nullopt: 1
  std::optional<Dtype> dtype = {};  ///< of workspaces; nullopt: that of the tensor at the other end
};

/// A launch, bytes that become zero, or a copy.
struct LaunchStep {
  std::string where;      ///< of it in the file, for errors
  std::string zero = {};  ///< the workspace or output; "": it is something else
  std::optional<LaunchCopy> copy = {};
  std::string entry = {};
  std::string ptx = {};  ///< the file that has the entry, beside the description; "": that of --ptx
  std::vector<Expression> grid = {}, block = {};  ///< x, y, z
  std::optional<Expression> shared_bytes = {};
  std::vector<LaunchArgument> arguments = {};

  bool is_launch() const { return zero.empty() && !copy; }
};

/// What a problem must satisfy.
struct Condition {
  std::string text, comparison;
  std::vector<Expression> sides;

  bool holds(const Variables& variables) const;
};

struct LaunchDescription {
  std::string name, description;
  Features features;
  DtypeSet dtypes;
  bool causal_alone = false;
  Layout layout = Layout::kBhsd;
  std::vector<Condition> conditions;
  std::vector<std::pair<std::string, Expression>> workspaces;  ///< name and bytes
  std::vector<LaunchStep> forward, backward;

  /// Of all workspaces. Throws UsageError.
  std::size_t workspace_bytes(const Variables& variables) const;
};

/// Whether one of the steps is given the address of a tensor, or reads or writes it itself.
bool names(const std::vector<LaunchStep>& steps, std::string_view memory);

/// `where` names the file in errors. Throws UsageError: what, where in the file, what would be
/// right.
LaunchDescription read_launch_description(std::string_view json, const std::string& where);

/// The values of a problem's names.
Variables variables_of(const Problem& p);

}  // namespace flashbench::guest
