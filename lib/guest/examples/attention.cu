// A textbook attention forward in CUDA: one warp a query, a block of four queries that share tiles
// of keys and values in shared memory, online softmax (FlashAttention-2, algorithm 1). Slow, and
// short enough to read. Nothing but nvcc is needed to make PTX of it:
//
//     nvcc -ptx -arch=compute_80 -lineinfo attention.cu -o attention.ptx
//     flashbench check --device emulated --ptx attention.ptx --q_len 40 --d 64 --pass forward
//
// attention.json says how it is launched.
#ifndef BARRIER  // tests build it once without: a race, which check finds although O is right
#define BARRIER __syncthreads()
#endif

namespace {

constexpr int kQueries = 4;  // of a block, a warp each
constexpr int kKeys = 32;    // of a tile, a lane each
constexpr int kMostD = 128;

__device__ float sum_of_lanes(float x) {
  for (int i = 16; i > 0; i /= 2) x += __shfl_xor_sync(0xFFFFFFFF, x, i);
  return x;
}

__device__ float max_of_lanes(float x) {
  for (int i = 16; i > 0; i /= 2) x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFF, x, i));
  return x;
}

}  // namespace

/// q, o: [b, h, q_len, d]; k, v: [b, h_kv, kv_len, d]; lse: [b, h, q_len], natural log. Grid: tiles
/// of queries, h, b. A row that sees nothing: o = 0, lse = -inf.
extern "C" __global__ void attention(const float* q, const float* k, const float* v, float* o,
                                     float* lse, float scale, int group, int q_len, int kv_len,
                                     int d, int causal) {
  __shared__ float k_tile[kKeys][kMostD + 1], v_tile[kKeys][kMostD + 1], q_rows[kQueries][kMostD];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = blockIdx.x * kQueries + warp;
  const long head = blockIdx.z * (long)gridDim.y + blockIdx.y;
  const long kv_head = blockIdx.z * (long)(gridDim.y / group) + blockIdx.y / group;
  const bool computes = row < q_len;
  for (int c = lane; c < d; c += 32)
    q_rows[warp][c] = computes ? q[(head * q_len + row) * d + c] : 0;
  const int keys = !computes ? 0 : causal ? min(kv_len, row + 1 + kv_len - q_len) : kv_len;
  float row_max = -INFINITY, row_sum = 0, sums[kMostD / 32] = {};
  for (int first = 0; first < kv_len; first += kKeys) {
    for (int i = threadIdx.x; i < kKeys * d; i += blockDim.x) {
      const long at = (kv_head * kv_len + min(first + i / d, kv_len - 1)) * d + i % d;
      k_tile[i / d][i % d] = k[at];
      v_tile[i / d][i % d] = v[at];
    }
    __syncthreads();
    float s = 0;
    for (int c = 0; c < d; ++c) s += q_rows[warp][c] * k_tile[lane][c];
    s = first + lane < keys ? s * scale : -INFINITY;
    const float new_max = fmaxf(row_max, max_of_lanes(s));
    const float shift = new_max == -INFINITY ? 0 : new_max;
    const float p = expf(s - shift), fade = expf(row_max - shift);
    row_sum = row_sum * fade + sum_of_lanes(p);
    row_max = new_max;
    for (int c = lane, i = 0; c < kMostD; c += 32, ++i) sums[i] *= fade;
    for (int key = 0; key < kKeys; ++key) {
      const float weight = __shfl_sync(0xFFFFFFFF, p, key);
      for (int c = lane, i = 0; c < d; c += 32, ++i) sums[i] += weight * v_tile[key][c];
    }
    BARRIER;  // before the next tile overwrites this one
  }
  if (!computes) return;
  for (int c = lane, i = 0; c < d; c += 32, ++i)
    o[(head * q_len + row) * d + c] = row_sum > 0 ? sums[i] / row_sum : 0;
  if (lane == 0) lse[head * q_len + row] = row_sum > 0 ? row_max + logf(row_sum) : -INFINITY;
}
