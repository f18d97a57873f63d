#!/usr/bin/env python3
"""Makes the small real tensor files under tests/data, with results computed in float64.

    python3 -m venv build/venv && build/venv/bin/pip install numpy 'safetensors>=0.8'
    build/venv/bin/python scripts/make_test_data.py

The files are kept in the repository; run this only to change them. Cases (q, k, v, do and mask
inside the bundles; `_expected` holds o, lse, dq, dk, dv in f32):

    tiny_f32    causal, padding mask, GQA; batch 1 has queries that see no key
    tiny_bf16   the same shape in bf16, not causal
    tiny_bshd   f16, axes [b, len, h, d], tensors named query, key, value, grad, keep
    tiny_*.npy  the tensors of tiny_f32, one a file (q as .npy version 2.0)
"""

from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from safetensors import TensorSpec, serialize_file

B, H, H_KV, Q_LEN, KV_LEN, D = 2, 4, 2, 5, 7, 8
FOLDER = Path(__file__).resolve().parent.parent / "tests" / "data"


def bf16_bits(x):
    """Rounds f32 to bf16, to nearest even; returns the bits."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def bf16_values(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def attention(q, k, v, do, keep, causal):
    """Forward and backward of attention from the definition, in float64."""
    q, k, v, do = (x.astype(np.float64) for x in (q, k, v, do))
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scale = 1 / np.sqrt(q.shape[-1])
    q_len, kv_len = q.shape[2], k.shape[2]
    visible = keep[:, None, None, :].astype(bool)
    if causal:
        i, j = np.arange(q_len)[:, None], np.arange(kv_len)[None, :]
        visible = visible & (j <= i + kv_len - q_len)
    visible = np.broadcast_to(visible, (*q.shape[:3], kv_len))

    s = np.where(visible, scale * q @ k.swapaxes(2, 3), -np.inf)
    top = np.max(s, axis=-1, keepdims=True)
    e = np.where(visible, np.exp(s - np.where(np.isfinite(top), top, 0)), 0)
    total = e.sum(-1, keepdims=True)
    p = np.divide(e, total, out=np.zeros_like(e), where=total > 0)
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + np.where(np.isfinite(top), top, 0))[..., 0]

    o = p @ v
    dp = do @ v.swapaxes(2, 3)
    ds = p * (dp - (do * o).sum(-1, keepdims=True))
    heads = (q.shape[0], q.shape[1] // group, group, kv_len, q.shape[3])
    return {
        "o": o,
        "lse": lse,
        "dq": scale * ds @ k,
        "dk": (scale * ds.swapaxes(2, 3) @ q).reshape(heads).sum(2),
        "dv": (p.swapaxes(2, 3) @ do).reshape(heads).sum(2),
    }


def write(name, tensors, metadata=None):
    """tensors: name -> (safetensors dtype, contiguous array of its bits)."""
    kept = {n: (t, np.ascontiguousarray(a)) for n, (t, a) in tensors.items()}
    spec = {
        n: TensorSpec(dtype=t, shape=list(a.shape), data_ptr=a.ctypes.data, data_len=a.nbytes)
        for n, (t, a) in kept.items()
    }
    serialize_file(spec, str(FOLDER / name), metadata=metadata)
    (FOLDER / name).chmod(0o644)


def write_expected(name, results, bshd=False):
    """LSE is [b, h, q_len], or [b, q_len, h] in the bshd layout."""
    swapped = {n: x.swapaxes(1, 2) if bshd else x for n, x in results.items()}
    write(name, {n: ("float32", x.astype(np.float32)) for n, x in swapped.items()})


def draw(seed):
    rng = np.random.default_rng(seed)
    shapes = {"q": (B, H, Q_LEN, D), "k": (B, H_KV, KV_LEN, D), "v": (B, H_KV, KV_LEN, D)}
    shapes["do"] = shapes["q"]
    tensors = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    keep = np.array([[1, 1, 0, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1, 1]], dtype=np.uint8)
    return tensors, keep


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)

    x, keep = draw(1)
    bundle = {n: ("float32", a) for n, a in x.items()} | {"mask": ("uint8", keep)}
    write("tiny_f32.safetensors", bundle, {"origin": "scripts/make_test_data.py"})
    write_expected("tiny_f32_expected.safetensors", attention(**x, keep=keep, causal=True))
    for n in ("k", "v", "do"):
        np.save(FOLDER / f"tiny_{n}.npy", x[n])
    with open(FOLDER / "tiny_q.npy", "wb") as file:
        npy.write_array(file, x["q"], version=(2, 0))
    np.save(FOLDER / "tiny_mask.npy", keep.astype(bool))

    x, keep = draw(2)
    bits = {n: bf16_bits(a) for n, a in x.items()}
    bundle = {n: ("bfloat16", a) for n, a in bits.items()} | {"mask": ("bool", keep)}
    write("tiny_bf16.safetensors", bundle)
    rounded = {n: bf16_values(a) for n, a in bits.items()}
    write_expected("tiny_bf16_expected.safetensors", attention(**rounded, keep=keep, causal=False))

    x, keep = draw(3)
    x = {n: a.astype(np.float16) for n, a in x.items()}
    names = {"q": "query", "k": "key", "v": "value", "do": "grad"}
    bundle = {names[n]: ("float16", a.swapaxes(1, 2)) for n, a in x.items()}
    write("tiny_bshd.safetensors", bundle | {"keep": ("uint8", keep)})
    results = attention(**x, keep=keep, causal=True)
    write_expected("tiny_bshd_expected.safetensors", results, bshd=True)


if __name__ == "__main__":
    main()
