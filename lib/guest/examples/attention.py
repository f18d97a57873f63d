"""A worker for flashbench: attention in NumPy, forward and backward, the scores stored as a whole.

    flashbench check --worker 'python3 -m flashbench.worker attention.py:attention' --q_len 64 --d 32 --causal
"""

import numpy as np


def visible(q, k, causal, key_mask):
    """[b or 1, 1, q_len, kv_len]: which query sees which key; masks are aligned at the bottom right."""
    rows, columns = q.shape[2], k.shape[2]
    seen = np.ones((1, 1, rows, columns), bool)
    if causal:
        seen = np.tril(seen, columns - rows)
    if key_mask is not None:
        seen = seen & key_mask[:, None, None, :].astype(bool)
    return seen


def heads(t, like):
    """K or V for each query head."""
    return np.repeat(t, like.shape[1] // t.shape[1], axis=1)


def probabilities(q, k, causal, scale, key_mask):
    scores = scale * (q @ heads(k, q).swapaxes(2, 3))
    scores = np.where(visible(q, k, causal, key_mask), scores, -np.inf)
    most = np.max(scores, axis=3, keepdims=True)
    most = np.where(np.isinf(most), 0, most)
    p = np.exp(scores - most)
    total = p.sum(axis=3, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = (most + np.log(total))[..., 0]
    return p / np.where(total == 0, 1, total), lse


def attention(q, k, v, *, causal, scale, key_mask=None):
    """O = softmax(scale QK^T) V by NumPy."""
    if q.dtype != np.float32:
        raise NotImplementedError("f32 alone")
    p, lse = probabilities(q, k, causal, scale, key_mask)
    return p @ heads(v, q), lse


def attention_backward(q, k, v, o, lse, do, *, causal, scale, key_mask=None):
    p, _ = probabilities(q, k, causal, scale, key_mask)
    dp = do @ heads(v, q).swapaxes(2, 3)
    ds = scale * p * (dp - np.sum(do * o, axis=3, keepdims=True))

    def of_kv_heads(t):
        return t.reshape(k.shape[0], k.shape[1], -1, *t.shape[2:]).sum(axis=2)

    return ds @ heads(k, q), of_kv_heads(ds.swapaxes(2, 3) @ q), of_kv_heads(p.swapaxes(2, 3) @ do)
