#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ptx/device.h"

// Small PTX texts around what is tested.
namespace flashbench::ptx {

constexpr std::string_view kHeader = ".version 9.0\n.target sm_80\n.address_size 64\n";

template <class T>
std::span<const std::byte> raw(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}

template <class T>
Address put(Device& d, const std::vector<T>& values, std::string name) {
  const Address a = d.alloc(values.size() * sizeof(T), std::move(name));
  d.copy_in(a, std::as_bytes(std::span(values)));
  return a;
}

template <class T>
std::vector<T> get(const Device& d, Address from, std::size_t count) {
  std::vector<T> values(count);
  d.copy_out(std::as_writable_bytes(std::span(values)), from);
  return values;
}

/// A module with one kernel `k` whose parameters are addresses p0, p1, ...
inline std::string kernel_text(int parameters, std::string_view body,
                               std::string_view globals = "") {
  std::string s = fmt::format("{}{}\n.visible .entry k(", kHeader, globals);
  for (int i = 0; i < parameters; ++i) s += fmt::format("{}.param .u64 p{}", i ? ", " : "", i);
  return s + ")\n{\n" + std::string(body) + "\nret;\n}\n";
}

/// Registers and the addresses of p0, p1, ... in %p0, %p1, ...; %tid is the thread in x, %lane its
/// lane, %at0.. the address of the thread's own 4 bytes of p0, ...
inline std::string prologue(int parameters) {
  std::string s =
      ".reg .pred %q<10>;\n.reg .b16 %h<20>;\n.reg .b32 %r<100>;\n.reg .b64 %rd<30>;\n"
      ".reg .f32 %f<50>;\n.reg .f64 %fd<10>;\n.reg .b32 %tid, %lane, %cta;\n.reg .b64 %off;\n"
      "mov.u32 %tid, %tid.x;\nmov.u32 %lane, %laneid;\nmov.u32 %cta, %ctaid.x;\n"
      "mul.wide.u32 %off, %tid, 4;\n";
  for (int i = 0; i < parameters; ++i) {
    s += fmt::format(
        ".reg .b64 %p{0}, %at{0};\nld.param.u64 %p{0}, [p{0}];\ncvta.to.global.u64 %p{0}, %p{0};\n"
        "add.s64 %at{0}, %p{0}, %off;\n",
        i);
  }
  return s;
}

struct Shape {
  Dim3 grid, block{32};
  std::size_t dynamic_bytes = 0;
};

/// Runs `body` after the prologue; parameters are the addresses.
inline LaunchResult run_body(Device& d, std::string_view body,
                             const std::vector<Address>& addresses, Shape shape = {},
                             std::string_view globals = "") {
  const int n = static_cast<int>(addresses.size());
  std::string lines;  // a line per statement: findings are told apart by their line
  for (const char c : body) lines += c == ';' ? ";\n" : std::string(1, c);
  const Module m = d.load(kernel_text(n, prologue(n) + lines, globals), "test");
  std::vector<std::span<const std::byte>> arguments;
  for (const Address& a : addresses) arguments.push_back(raw(a));
  return d.launch(m, "k", shape.grid, shape.block, shape.dynamic_bytes, arguments);
}

inline std::string texts(const LaunchResult& r) {
  std::string s;
  for (const Finding& f : r.findings) s += f.text() + "\n";
  return s;
}

template <class T>
std::string register_type() {
  if constexpr (std::is_same_v<T, float>) return "f32";
  if constexpr (std::is_same_v<T, double>) return "f64";
  return fmt::format("b{}", 8 * sizeof(T));
}

/// Runs `code` once per element: it reads %a, %b, %c and writes %d. Expects no finding.
template <class D, class A, class B = std::uint32_t, class C = std::uint32_t>
std::vector<D> apply(const std::string& code, const std::vector<A>& a, const std::vector<B>& b = {},
                     const std::vector<C>& c = {}) {
  Device device;
  const std::size_t n = a.size();
  const Address pa = put(device, a, "a"), pd = device.alloc(n * sizeof(D), "d");
  const Address pb = b.empty() ? 0 : put(device, b, "b"), pc = c.empty() ? 0 : put(device, c, "c");
  std::string body = prologue(4);
  body += "mad.lo.u32 %r99, %cta, 256, %tid;\n";
  body += fmt::format("setp.ge.u32 %q9, %r99, {};\n@%q9 ret;\n", n);
  const auto declare = [&](const char* name, const std::string& type) {
    body += fmt::format(".reg .{} %{};\n", type, name);
  };
  declare("a", register_type<A>());
  declare("b", register_type<B>());
  declare("c", register_type<C>());
  declare("d", register_type<D>());
  const auto load = [&](const char* name, int p, const std::string& type, std::size_t bytes) {
    body += fmt::format("mad.wide.u32 %rd29, %r99, {}, %p{};\nld.global.{} %{}, [%rd29];\n", bytes,
                        p, type, name);
  };
  load("a", 0, register_type<A>(), sizeof(A));
  if (!b.empty()) load("b", 1, register_type<B>(), sizeof(B));
  if (!c.empty()) load("c", 2, register_type<C>(), sizeof(C));
  body += "{\n" + code + "\n}\n";
  body += fmt::format("mad.wide.u32 %rd29, %r99, {}, %p3;\nst.global.{} [%rd29], %d;\n", sizeof(D),
                      register_type<D>());
  const Module m = device.load(kernel_text(4, body), "test");
  const std::vector<std::span<const std::byte>> arguments{raw(pa), raw(pb), raw(pc), raw(pd)};
  const auto blocks = static_cast<std::uint32_t>((n + 255) / 256);
  const LaunchResult r = device.launch(m, "k", {blocks}, {256}, 0, arguments);
  EXPECT_TRUE(r.findings.empty()) << texts(r);
  return get<D>(device, pd, n);
}

/// Equal bits, or both NaN.
template <class T>
bool same(T x, T y) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(x) && std::isnan(y)) return true;
    return x == y && std::signbit(x) == std::signbit(y);
  } else {
    return x == y;
  }
}

/// Values at the edges of a type, then random ones.
template <class T>
std::vector<T> edge_values(std::size_t count = 24) {
  std::vector<T> v;
  std::mt19937_64 random(7);
  using L = std::numeric_limits<T>;
  if constexpr (std::is_floating_point_v<T>) {
    const T tiny = L::denorm_min(), least = L::min(), most = L::max(), inf = L::infinity();
    v = {0,           -T{0},  1,         -1,   T(0.5), T(-2.5), 3,    tiny,           -tiny,
         least,       -least, least / 2, most, -most,  inf,     -inf, L::quiet_NaN(), T(1e-3),
         T(12345.678)};
    std::normal_distribution<double> normal(0, 10);
    while (v.size() < count) v.push_back(static_cast<T>(normal(random)));
  } else {
    v = {T{0},
         T{1},
         static_cast<T>(-1),
         T{2},
         T{7},
         T{31},
         T{32},
         T{33},
         L::min(),
         L::max(),
         static_cast<T>(L::max() / 2 + 1),
         static_cast<T>(L::min() + 1),
         T{100}};
    while (v.size() < count) v.push_back(static_cast<T>(random() >> (random() % 20)));
  }
  return v;
}

/// Every pair of edge values: the first members, or the second.
template <class T>
std::vector<T> pairs(bool second) {
  const std::vector<T> v = edge_values<T>();
  std::vector<T> out;
  for (const T x : v) {
    for (const T y : v) out.push_back(second ? y : x);
  }
  return out;
}

template <class T, class F>
void expect_unary(const std::string& op, F f) {
  SCOPED_TRACE(op);
  const std::vector<T> a = edge_values<T>(60);
  using D = decltype(f(T{}));
  const std::vector<D> d = apply<D>(op + " %d, %a;", a);
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_TRUE(same(d[i], f(a[i]))) << +a[i] << " gives " << +d[i] << ", not " << +f(a[i]);
  }
}

template <class T, class F>
void expect_binary(const std::string& op, F f) {
  SCOPED_TRACE(op);
  const std::vector<T> a = pairs<T>(false), b = pairs<T>(true);
  using D = decltype(f(T{}, T{}));
  const std::vector<D> d = apply<D>(op + " %d, %a, %b;", a, b);
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_TRUE(same(d[i], f(a[i], b[i])))
        << +a[i] << " and " << +b[i] << " give " << +d[i] << ", not " << +f(a[i], b[i]);
  }
}

template <class T, class C, class F>
void expect_ternary(const std::string& op, F f) {
  SCOPED_TRACE(op);
  const std::vector<T> a = pairs<T>(false), b = pairs<T>(true);
  const std::vector<C> edges = edge_values<C>(37);
  std::vector<C> c;
  for (std::size_t i = 0; i < a.size(); ++i) c.push_back(edges[i % edges.size()]);
  using D = decltype(f(T{}, T{}, C{}));
  const std::vector<D> d = apply<D>(op + " %d, %a, %b, %c;", a, b, c);
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_TRUE(same(d[i], f(a[i], b[i], c[i])))
        << +a[i] << ", " << +b[i] << ", " << +c[i] << " give " << +d[i] << ", not "
        << +f(a[i], b[i], c[i]);
  }
}

}  // namespace flashbench::ptx
