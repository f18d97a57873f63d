"""A worker for flashbench: PyTorch's attention, with gradients by its autograd.

    flashbench bench --worker 'python3 -m flashbench.worker sdpa.py:attention' --h 8 --q_len 1k --d 64 --pass both
"""

import torch.nn.functional as F


def attention(q, k, v, *, causal, scale, key_mask=None):
    """PyTorch's scaled_dot_product_attention."""
    if causal and (key_mask is not None or q.shape[2] != k.shape[2]):
        raise NotImplementedError("its is_causal is aligned at the top left, and takes no mask beside it")
    mask = None if key_mask is None else key_mask.bool()[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale,
                                          enable_gqa=q.shape[1] != k.shape[1])


attention.rounds = ["gradients_of_query_heads"]  # of enable_gqa
