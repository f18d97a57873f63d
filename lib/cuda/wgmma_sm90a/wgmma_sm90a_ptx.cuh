#pragma once

#include <cstdint>

#include "cuda/contract/boxed.h"

/// The instructions of wgmma_sm90a but for its products, each behind the name of what it does:
/// mbarriers, boxes of tensors, warpgroups.
namespace flashbench::cuda::wgmma_sm90a {

/// A phase of an mbarrier ends when all arrivals and all expected bytes have come; waiters name a
/// phase by its parity. `barrier` is an address in shared memory.
__device__ __forceinline__ void init_barrier(std::uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/// mbarriers that this thread initialised become visible to TMA (the async proxy).
__device__ __forceinline__ void fence_barrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/// Arrives, and adds to the bytes that the phase waits for (its transaction count).
__device__ __forceinline__ void arrive_and_expect_tx(std::uint32_t barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

/// Waits until the phase of that parity has ended. Right after init_barrier parity 1 counts as
/// ended: a producer starts with it and finds every stage empty.
__device__ __forceinline__ void wait(std::uint32_t barrier, std::uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

/// Requests the box of a head whose first row and column are given. Its bytes count at `barrier`.
__device__ __forceinline__ void load_box(std::uint32_t to, const TensorMap& from, int column,
                                         int row, int head, int batch, std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, "
      "{%2, %3, %4, %5}], [%6];" ::"r"(to),
      "l"(&from), "r"(column), "r"(row), "r"(head), "r"(batch), "r"(barrier)
      : "memory");
}

/// FlashAttention-3's ping-pong: warpgroup g waits on named barrier g + 1 before it issues its
/// products; having issued them, it arrives at the barrier of the next warpgroup, whose products
/// then run while this one computes its softmax. 256: the 128 threads that wait and the 128 that
/// arrive.
__device__ __forceinline__ void ping_pong_sync(int group) {
  asm volatile("bar.sync %0, 256;" ::"r"(group + 1) : "memory");
}
__device__ __forceinline__ void ping_pong_arrive(int group) {
  asm volatile("bar.arrive %0, 256;" ::"r"(group + 1) : "memory");
}

/// __syncthreads() of a warpgroup. Named barriers 1 to 3 are those of the ping-pong, 0 is the
/// CTA's.
__device__ __forceinline__ void sync_warpgroup(int group) {
  asm volatile("bar.sync %0, 128;" ::"r"(group + 4) : "memory");
}

/// Where warp i of each of two warpgroups that share rows meet: named barriers kPartialWritten + i
/// and kPartialRead + i.
inline constexpr int kPartialWritten = 1, kPartialRead = 5;
__device__ __forceinline__ void sync_warps_of_half_rows(int barrier) {
  asm volatile("bar.sync %0, 64;" ::"r"(barrier) : "memory");
}

/// __syncthreads() of two consumers of gradients that share their keys; see Meeting.
__device__ __forceinline__ void sync_consumers(int barrier) {
  asm volatile("bar.sync %0, 256;" ::"r"(barrier) : "memory");
}

/// What this thread wrote to shared memory becomes visible to wgmma (the async proxy).
__device__ __forceinline__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/// Four 8 x 8 matrices; lane i passes the address of row i % 8 of matrix i / 8, and in r[m] what
/// fragments::load_matrices would read.
__device__ __forceinline__ void store_matrices(std::uint32_t row, const std::uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

__device__ __forceinline__ void store_shared(std::uint32_t to, const float (&values)[4]) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to), "f"(values[0]), "f"(values[1]),
               "f"(values[2]), "f"(values[3])
               : "memory");
}

__device__ __forceinline__ float4 load_shared_float4(std::uint32_t from) {
  float4 v;
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(from)
               : "memory");
  return v;
}

__device__ __forceinline__ void store_shared(std::uint32_t to, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(to), "f"(value) : "memory");
}

__device__ __forceinline__ std::uint32_t load_shared(std::uint32_t from) {
  std::uint32_t word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(from) : "memory");
  return word;
}

/// The same number, which all lanes hold, as one that ptxas knows to be equal in all of them. What
/// is computed from it (addresses, descriptors, ends of loops) stays in uniform registers; of an
/// unproven number every wgmma's descriptors are moved there first, two to four R2UR each.
__device__ __forceinline__ std::uint32_t uniform(std::uint32_t x) {
  return __shfl_sync(0xffffffffu, x, 0);
}
__device__ __forceinline__ int uniform(int x) { return __shfl_sync(0xffffffffu, x, 0); }

/// Keeps the computation of `x`, which is never negative, in front of whatever waits next: ptxas
/// sinks arithmetic whose result is not needed yet past a wait, but not past a store, even one
/// whose condition never holds. `scratch` is any word of shared memory.
__device__ __forceinline__ void compute_before_waiting(float x, std::uint32_t scratch) {
  asm volatile(
      "{\n.reg .pred never;\nsetp.lt.f32 never, %0, 0f00000000;\n"
      "@never st.shared.f32 [%1], %0;\n}" ::"f"(x),
      "r"(scratch)
      : "memory");
}

/// Registers of every thread of the warpgroup from here on; multiples of 8.
template <int kRegisters>
__device__ __forceinline__ void raise_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void lower_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// Products may use the registers that were written before.
__device__ __forceinline__ void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
/// Closes the group of all products since the last call.
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits until at most `kPending` groups are in flight. Until then nothing may touch their
/// registers.
template <int kPending>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

}  // namespace flashbench::cuda::wgmma_sm90a
