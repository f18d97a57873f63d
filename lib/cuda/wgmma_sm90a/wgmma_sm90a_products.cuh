#pragma once

#include <cstdint>

#include "cuda/fragments/instructions.cuh"

/// wgmma: products of 64 rows with f32 sums, issued by a whole warpgroup, there when they are
/// waited for. Warp w of its four holds rows 16w .. 16w + 15 of the sums, as the C fragments of
/// fragments/instructions.cuh side by side: c[n] has columns 8n .. 8n + 7.
namespace flashbench::cuda::wgmma_sm90a {

using fragments::Bf16;
using fragments::F16;

/// c = A·Bᵀ over 16 of the sum; c += A·Bᵀ with `add`. A: 64 rows, B: kColumns rows, both lie along
/// the sum. operand() of wgmma_sm90a_layout.h makes a and b.
template <typename T, int kColumns>
__device__ __forceinline__ void multiply_by_transposed(float (&c)[kColumns / 8][4], std::uint64_t a,
                                                       std::uint64_t b, bool add);

/// The same with A from registers: 16 columns of each warp's 16 rows, as an A fragment.
template <typename T, int kColumns>
__device__ __forceinline__ void multiply_by_transposed(float (&c)[kColumns / 8][4],
                                                       const std::uint32_t (&a)[4], std::uint64_t b,
                                                       bool add);

/// c += A·B over 16 of the sum. A: two C fragments side by side, packed to 16 bits. B: 16 rows of
/// kColumns columns.
template <typename T, int kColumns>
__device__ __forceinline__ void multiply_from_registers(float (&c)[kColumns / 8][4],
                                                        const std::uint32_t (&a)[4],
                                                        std::uint64_t b);

/// c += A·B over 16 of the sum. A: 64 rows that lie along the sum. B: 16 rows of kColumns columns.
template <typename T, int kColumns>
__device__ __forceinline__ void multiply_shared(float (&c)[kColumns / 8][4], std::uint64_t a,
                                                std::uint64_t b);

// The text of a product names every register: the sums are %0, %1, ...; the operands follow them.
#define FB_TEN(t)                                                                                  \
  "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t \
  "9"
#define FB_UP_TO_9 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, "
#define FB_UP_TO_19 FB_UP_TO_9 FB_TEN(1) ", "
#define FB_UP_TO_29 FB_UP_TO_19 FB_TEN(2) ", "
#define FB_UP_TO_49 FB_UP_TO_29 FB_TEN(3) ", " FB_TEN(4) ", "
#define FB_UP_TO_89 FB_UP_TO_49 FB_TEN(5) ", " FB_TEN(6) ", " FB_TEN(7) ", " FB_TEN(8) ", "
#define FB_SUMS_32 FB_UP_TO_9 "%10, %11, %12, %13, %14, %15"
#define FB_SUMS_48 FB_UP_TO_19 "%20, %21, %22, %23"
#define FB_SUMS_64 FB_UP_TO_29 "%30, %31"
#define FB_SUMS_80 FB_UP_TO_29 FB_TEN(3)
#define FB_SUMS_112 FB_UP_TO_49 "%50, %51, %52, %53, %54, %55"
#define FB_SUMS_128 FB_UP_TO_49 FB_TEN(5) ", %60, %61, %62, %63"
#define FB_SUMS_192 FB_UP_TO_89 "%90, %91, %92, %93, %94, %95"
#define FB_SUMS_256 \
  FB_UP_TO_89 FB_TEN(9) ", " FB_TEN(10) ", " FB_TEN(11) ", %120, %121, %122, %123, %124, %125, " \
                                                        "%126, %127"

#define FB_8_COLUMNS(n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define FB_16_COLUMNS(n) FB_8_COLUMNS(n), FB_8_COLUMNS(n + 1)
#define FB_64_COLUMNS(n) \
  FB_16_COLUMNS(n), FB_16_COLUMNS(n + 2), FB_16_COLUMNS(n + 4), FB_16_COLUMNS(n + 6)
#define FB_IN_32 FB_16_COLUMNS(0), FB_16_COLUMNS(2)
#define FB_IN_48 FB_16_COLUMNS(0), FB_16_COLUMNS(2), FB_16_COLUMNS(4)
#define FB_IN_64 FB_64_COLUMNS(0)
#define FB_IN_80 FB_64_COLUMNS(0), FB_16_COLUMNS(8)
#define FB_IN_112 FB_64_COLUMNS(0), FB_16_COLUMNS(8), FB_16_COLUMNS(10), FB_16_COLUMNS(12)
#define FB_IN_128 FB_64_COLUMNS(0), FB_64_COLUMNS(8)
#define FB_IN_192 FB_IN_128, FB_64_COLUMNS(16)
#define FB_IN_256 FB_IN_192, FB_64_COLUMNS(24)

/// `a`, `b`, `add`: numbers of these operands.
#define FB_BY_TRANSPOSED(T, type, columns, a_at, b_at, add_at)                           \
  template <>                                                                            \
  __device__ __forceinline__ void multiply_by_transposed<T, columns>(                    \
      float(&c)[columns / 8][4], std::uint64_t a, std::uint64_t b, bool add) {           \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #add_at                        \
                 ", 0;\n"                                                                \
                 "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type   \
                 " {" FB_SUMS_##columns "}, %" #a_at ", %" #b_at ", add, 1, 1, 0, 0;\n}" \
                 : FB_IN_##columns                                                       \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));                          \
  }
#define FB_HELD_BY_TRANSPOSED(T, type, columns, a0, a1, a2, a3, b_at, add_at)                  \
  template <>                                                                                  \
  __device__ __forceinline__ void multiply_by_transposed<T, columns>(                          \
      float(&c)[columns / 8][4], const std::uint32_t(&a)[4], std::uint64_t b, bool add) {      \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" #add_at                              \
                 ", 0;\n"                                                                      \
                 "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type         \
                 " {" FB_SUMS_##columns "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3 "}, %" #b_at \
                                        ", add, 1, 1, 0;\n}"                                   \
                 : FB_IN_##columns                                                             \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),                         \
                   "r"(static_cast<int>(add)));                                                \
  }
#define FB_FROM_REGISTERS(T, type, columns, a0, a1, a2, a3, b_at)                     \
  template <>                                                                         \
  __device__ __forceinline__ void multiply_from_registers<T, columns>(                \
      float(&c)[columns / 8][4], const std::uint32_t(&a)[4], std::uint64_t b) {       \
    asm volatile(                                                                     \
        "{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"                                \
        "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type         \
        " {" FB_SUMS_##columns "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3 "}, %" #b_at \
                               ", add, 1, 1, 1;\n}"                                   \
        : FB_IN_##columns                                                             \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                        \
  }
#define FB_SHARED(T, type, columns, a_at, b_at)                                                   \
  template <>                                                                                     \
  __device__ __forceinline__ void multiply_shared<T, columns>(float(&c)[columns / 8][4],          \
                                                              std::uint64_t a, std::uint64_t b) { \
    asm volatile(                                                                                 \
        "{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"                                            \
        "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type                     \
        " {" FB_SUMS_##columns "}, %" #a_at ", %" #b_at ", add, 1, 1, 0, 1;\n}"                   \
        : FB_IN_##columns                                                                         \
        : "l"(a), "l"(b));                                                                        \
  }
#define FB_PRODUCTS(T, type)                                 \
  FB_BY_TRANSPOSED(T, type, 32, 16, 17, 18)                  \
  FB_BY_TRANSPOSED(T, type, 48, 24, 25, 26)                  \
  FB_BY_TRANSPOSED(T, type, 64, 32, 33, 34)                  \
  FB_BY_TRANSPOSED(T, type, 80, 40, 41, 42)                  \
  FB_BY_TRANSPOSED(T, type, 112, 56, 57, 58)                 \
  FB_BY_TRANSPOSED(T, type, 128, 64, 65, 66)                 \
  FB_HELD_BY_TRANSPOSED(T, type, 32, 16, 17, 18, 19, 20, 21) \
  FB_HELD_BY_TRANSPOSED(T, type, 48, 24, 25, 26, 27, 28, 29) \
  FB_HELD_BY_TRANSPOSED(T, type, 64, 32, 33, 34, 35, 36, 37) \
  FB_FROM_REGISTERS(T, type, 64, 32, 33, 34, 35, 36)         \
  FB_FROM_REGISTERS(T, type, 128, 64, 65, 66, 67, 68)        \
  FB_FROM_REGISTERS(T, type, 192, 96, 97, 98, 99, 100)       \
  FB_FROM_REGISTERS(T, type, 256, 128, 129, 130, 131, 132)   \
  FB_SHARED(T, type, 64, 32, 33)                             \
  FB_SHARED(T, type, 128, 64, 65)                            \
  FB_SHARED(T, type, 192, 96, 97)                            \
  FB_SHARED(T, type, 256, 128, 129)

FB_PRODUCTS(Bf16, "bf16")
FB_PRODUCTS(F16, "f16")

#undef FB_TEN
#undef FB_UP_TO_9
#undef FB_UP_TO_19
#undef FB_UP_TO_29
#undef FB_UP_TO_49
#undef FB_UP_TO_89
#undef FB_SUMS_32
#undef FB_SUMS_48
#undef FB_SUMS_64
#undef FB_SUMS_80
#undef FB_SUMS_112
#undef FB_SUMS_128
#undef FB_SUMS_192
#undef FB_SUMS_256
#undef FB_8_COLUMNS
#undef FB_16_COLUMNS
#undef FB_64_COLUMNS
#undef FB_IN_32
#undef FB_IN_48
#undef FB_IN_64
#undef FB_IN_80
#undef FB_IN_112
#undef FB_IN_128
#undef FB_IN_192
#undef FB_IN_256
#undef FB_BY_TRANSPOSED
#undef FB_HELD_BY_TRANSPOSED
#undef FB_FROM_REGISTERS
#undef FB_SHARED
#undef FB_PRODUCTS

}  // namespace flashbench::cuda::wgmma_sm90a
