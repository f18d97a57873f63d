"""A worker for flashbench: the Triton kernel of attention_triton.py on a GPU.

    flashbench check --backend cuda --worker 'python3 -m flashbench.worker triton_on_gpu.py:attention' --dtype bf16 --q_len 100 --d 64 --pass forward
    flashbench bench --backend cuda --worker 'python3 -m flashbench.worker triton_on_gpu.py:attention' --dtype bf16 --q_len 4k --d 64 --causal
"""

import attention_triton as tiles
import torch
import triton

LOG2_E = 1.4426950408889634


def attention(q, k, v, *, causal, scale):
    """O, and LSE in f32."""
    b, h, q_len, d = q.shape
    if d not in (16, 32, 64, 128, 256):
        raise NotImplementedError("tl.dot takes widths of powers of 2")
    if v.shape[-1] != d:
        raise NotImplementedError("V is as wide as K")
    if q.dtype == torch.float32:
        raise NotImplementedError("of f32 tl.dot multiplies tf32")
    o = torch.empty_like(q)
    lse = torch.empty(b, h, q_len, dtype=torch.float32, device=q.device)
    grid = (triton.cdiv(q_len, tiles.QUERIES), b * h)
    tiles.attention[grid](q, k, v, o, lse, scale * LOG2_E, h, h // k.shape[1], q_len, k.shape[2], CAUSAL=causal,
                          QUERIES=tiles.QUERIES, KEYS=tiles.KEYS, D=d, num_warps=tiles.WARPS)
    return o, lse
