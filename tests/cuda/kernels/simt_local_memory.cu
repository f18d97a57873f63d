// Must use local memory: an array with an index that only the launch knows. For tests of the gates.
extern "C" __global__ void simt_local_memory(float* data, int n) {
  float kept[64];
  for (int i = 0; i < 64; ++i) kept[i] = data[i];
  for (int i = 0; i < n; ++i) kept[n * i & 63] += kept[i * 7 & 63];
  data[n] = kept[n & 63];
}
