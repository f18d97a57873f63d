"""A flash attention forward in Triton, compiled ahead of time: no GPU and no PyTorch are needed.

    python3 attention_triton.py FOLDER

writes attention_sm_80.ptx, attention_sm_90.ptx and their launch descriptions (.json), for

    flashbench check --device emulated --ptx FOLDER/attention_sm_90.ptx --dtype bf16 --d 64 --causal --pass forward
"""

import json
import pathlib
import re
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

QUERIES, KEYS, D = 64, 64, 64
WARPS = 4


@triton.jit
def attention(q, k, v, o, lse, scale_log2, h, group, q_len, kv_len, CAUSAL: tl.constexpr, QUERIES: tl.constexpr,
              KEYS: tl.constexpr, D: tl.constexpr):
    """O and the natural log-sum-exp of one tile of queries: FlashAttention-2, algorithm 1."""
    tile, head = tl.program_id(0), tl.program_id(1)
    kv_head = head // h * (h // group) + head % h // group
    rows, columns, d = tile * QUERIES + tl.arange(0, QUERIES), tl.arange(0, KEYS), tl.arange(0, D)
    q_at = head.to(tl.int64) * q_len * D + rows[:, None] * D + d[None, :]
    kv_base = kv_head.to(tl.int64) * kv_len * D
    query = tl.load(q + q_at, mask=rows[:, None] < q_len, other=0.0)
    row_max = tl.full([QUERIES], float("-inf"), tl.float32)
    row_sum = tl.zeros([QUERIES], tl.float32)
    sum_pv = tl.zeros([QUERIES, D], tl.float32)
    last = kv_len
    if CAUSAL:
        last = tl.minimum(kv_len, tile * QUERIES + QUERIES + kv_len - q_len)
    for first in range(0, last, KEYS):
        keys = first + columns
        k_tile = tl.load(k + kv_base + keys[None, :] * D + d[:, None], mask=keys[None, :] < kv_len, other=0.0)
        s = tl.dot(query, k_tile) * scale_log2
        visible = keys[None, :] < kv_len
        if CAUSAL:
            visible = visible & (keys[None, :] <= rows[:, None] + kv_len - q_len)
        s = tl.where(visible, s, float("-inf"))
        new_max = tl.maximum(row_max, tl.max(s, 1))
        shift = tl.where(new_max == float("-inf"), 0.0, new_max)  # a row that sees nothing so far
        p = tl.exp2(s - shift[:, None])
        fade = tl.exp2(row_max - shift)
        row_sum = row_sum * fade + tl.sum(p, 1)
        v_tile = tl.load(v + kv_base + keys[:, None] * D + d[None, :], mask=keys[:, None] < kv_len, other=0.0)
        sum_pv = tl.dot(p.to(v_tile.dtype), v_tile, sum_pv * fade[:, None])
        row_max = new_max
    seen = row_sum > 0
    sum_pv = sum_pv / tl.where(seen, row_sum, 1.0)[:, None]
    tl.store(o + q_at, sum_pv.to(o.dtype.element_ty), mask=rows[:, None] < q_len)
    log_sum = tl.where(seen, (row_max + tl.log2(tl.where(seen, row_sum, 1.0))) * 0.6931471805599453, float("-inf"))
    tl.store(lse + head.to(tl.int64) * q_len + rows, log_sum, mask=rows < q_len)


def compiled(capability, causal):
    """What Triton makes of the kernel for one architecture."""
    signature = dict.fromkeys(["q", "k", "v", "o"], "*bf16") | {"lse": "*fp32", "scale_log2": "fp32"}
    signature |= dict.fromkeys(["h", "group", "q_len", "kv_len"], "i32")
    constants = {"CAUSAL": causal, "QUERIES": QUERIES, "KEYS": KEYS, "D": D}
    source = ASTSource(attention, signature | dict.fromkeys(constants, "constexpr"), constants,
                       {(i,): [["tt.divisibility", 16]] for i in range(5)})
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": WARPS})


def stripped(ptx):
    """The text without what debuggers want."""
    ptx = re.sub(r"\n\s*\.section\s+\.debug[^{]*\{.*?\n\s*\}", "", ptx, flags=re.DOTALL)
    lines = [line for line in ptx.splitlines() if not re.match(r"\s*(\.loc|\.file|//|\$L__tmp|\$L__func)", line)]
    return "\n".join(re.sub(r"\s*//.*$", "", line) for line in lines if line.strip()) + "\n"


def description(kernel, causal):
    """How it is launched, for --launch."""
    arguments = ["q", "k", "v", "o", "lse", {"f32": "scale * 1.4426950408889634"}, {"i32": "h"}, {"i32": "h / h_kv"},
                 {"i32": "q_len"}, {"i32": "kv_len"}]
    # Some versions add pointers to scratch memory of Triton's own, which this kernel does not use.
    parameters = kernel.asm["ptx"].partition("\n)")[0].count(".param ")
    arguments += [{"u64": 0}] * (parameters - len(arguments))
    launch = {
        "entry": kernel.metadata.name,
        "grid": [f"ceil_div(q_len, {QUERIES})", "b * h"],
        "block": [32 * kernel.metadata.num_warps],
        "shared_bytes": kernel.metadata.shared,
        "arguments": arguments,
    }
    return {
        "name": "triton_attention",
        "description": f"flash attention forward, compiled by Triton {triton.__version__}",
        "dtypes": ["bf16"],
        "causal": causal,
        "requires": [f"d == {D}"],
        "forward": [launch],
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for capability in (80, 90):
        kernel = compiled(capability, True)
        path = folder / f"attention_sm_{capability}"
        path.with_suffix(".ptx").write_text(stripped(kernel.asm["ptx"]))
        path.with_suffix(".json").write_text(json.dumps(description(kernel, True), indent=2) + "\n")


if __name__ == "__main__":
    main()
