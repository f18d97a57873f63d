#include <cstdint>

/// The smallest kernel that is made the way Hopper's are: one warpgroup only moves tiles (TMA),
/// another only multiplies (wgmma), mbarriers between them, setmaxnreg. It shows that the build and
/// the emulated device take code that runs on 9.0 alone.
namespace {

constexpr int kTile =
    64;  ///< rows and columns; 64 elements of 16 bits are the 128 bytes of the swizzle
constexpr int kStages = 2;
constexpr std::uint32_t kTileBytes = kTile * kTile * 2;

struct alignas(64) TensorMap {
  unsigned char bytes[128];
};

struct alignas(1024) Stages {
  unsigned char a[kStages][kTileBytes], b[kStages][kTileBytes];
};

struct Barriers {
  std::uint64_t full[kStages], empty[kStages];
};

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void begin(std::uint64_t& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)),
               "r"(arrivals));
}

__device__ __forceinline__ void expect(std::uint64_t& barrier, std::uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
      "r"(bytes)
      : "memory");
}

__device__ __forceinline__ void arrive(std::uint64_t& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier))
               : "memory");
}

__device__ __forceinline__ void wait(std::uint64_t& barrier, std::uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(shared_address(&barrier)),
      "r"(parity)
      : "memory");
}

__device__ __forceinline__ void load_tile(void* to, const TensorMap& from, int column, int row,
                                          std::uint64_t& arrives_at) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, "
      "{%2, "
      "%3}], [%4];" ::"r"(shared_address(to)),
      "l"(&from), "r"(column), "r"(row), "r"(shared_address(&arrives_at))
      : "memory");
}

/// Of a tile with the 128-byte swizzle, k-major: groups of 8 rows are 1024 bytes apart.
__device__ __forceinline__ std::uint64_t descriptor(const void* tile, int k) {
  const std::uint64_t start = (shared_address(tile) + static_cast<std::uint32_t>(2 * k)) >> 4;
  return start | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

/// c += A·Bᵀ over 16 of k.
__device__ __forceinline__ void multiply(float (&c)[32], std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, add, 1, 1, 0, 0;\n}"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]),
        "+f"(c[7]), "+f"(c[8]), "+f"(c[9]), "+f"(c[10]), "+f"(c[11]), "+f"(c[12]), "+f"(c[13]),
        "+f"(c[14]), "+f"(c[15]), "+f"(c[16]), "+f"(c[17]), "+f"(c[18]), "+f"(c[19]), "+f"(c[20]),
        "+f"(c[21]), "+f"(c[22]), "+f"(c[23]), "+f"(c[24]), "+f"(c[25]), "+f"(c[26]), "+f"(c[27]),
        "+f"(c[28]), "+f"(c[29]), "+f"(c[30]), "+f"(c[31])
      : "l"(a), "l"(b));
}

}  // namespace

/// C = A·Bᵀ. a: [64·blocks, 64·k_tiles] bf16, b: [64, 64·k_tiles] bf16, c: [64·blocks, 64] f32.
extern "C" __global__ void __launch_bounds__(256, 1)
    wgmma_sm90a_product(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b,
                        float* c, int k_tiles) {
  __shared__ Stages tiles;
  __shared__ Barriers barriers;
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int first_row = static_cast<int>(blockIdx.x) * kTile;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      begin(barriers.full[s], 1);
      begin(barriers.empty[s], 4);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (thread != 0) return;
    for (int i = 0; i < k_tiles; ++i) {
      const int s = i % kStages;
      wait(barriers.empty[s], i / kStages % 2 ^ 1);
      expect(barriers.full[s], 2 * kTileBytes);
      load_tile(tiles.a[s], a, i * kTile, first_row, barriers.full[s]);
      load_tile(tiles.b[s], b, i * kTile, 0, barriers.full[s]);
    }
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
  float sum[32] = {};
#pragma unroll 1
  for (int i = 0; i < k_tiles; ++i) {
    const int s = i % kStages;
    wait(barriers.full[s], i / kStages % 2);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int k = 0; k < kTile; k += 16)
      multiply(sum, descriptor(tiles.a[s], k), descriptor(tiles.b[s], k));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    if (thread % 32 == 0) arrive(barriers.empty[s]);  // this warp has read the stage
  }
  const int row = first_row + thread / 32 * 16 + thread % 32 / 4;
  for (int i = 0; i < 32; ++i)
    c[(row + i / 2 % 2 * 8) * kTile + i / 4 * 8 + thread % 4 * 2 + i % 2] = sum[i];
}
