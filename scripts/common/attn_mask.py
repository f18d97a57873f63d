"""What an attn_mask of PyTorch means in flashbench's words: flags, slopes of ALiBi, or a bias."""

import torch
from refused import Refused


def distances(q_len, kv_len):
    """[q_len, kv_len], of keys from a query's own on; queries are aligned with the last keys."""
    return torch.arange(kv_len) - (torch.arange(q_len)[:, None] + (kv_len - q_len))


def band(q_len, kv_len, left, right):
    """flashbench's windows: a query sees so many keys before and after its own; None: all of them.
    True = sees."""
    distance = distances(q_len, kv_len)
    sees = torch.ones(q_len, kv_len, dtype=torch.bool)
    if left is not None:
        sees &= -left <= distance
    if right is not None:
        sees &= distance <= right
    return sees


def bands(sees):
    """(left, right) that masks [b, 1, q_len, kv_len] may be made of, the simplest first."""
    q_len, kv_len = sees.shape[-2:]
    yield None, None
    yield None, 0
    seen = distances(q_len, kv_len).broadcast_to(sees.shape)[sees]
    if len(seen):
        left, right = max(-int(seen.min()), 0), max(int(seen.max()), 0)
        yield left, 0
        yield left, None
        yield None, right
        yield left, right


def seen_by(mask):
    """True where attn_mask lets a query see a key: what is added to other scores is very low."""
    mask = mask.detach()
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min


def adds_something(mask):
    """Whether attn_mask changes the scores that it lets through."""
    return mask is not None and mask.dtype != torch.bool and bool(mask[seen_by(mask)].any())


def bias_of(mask, q, k):
    """attn_mask as what is added to the scores, -inf where it hides a pair, and no larger than it is:
    axes of batch elements and heads that are alike stay 1."""
    mask, sees = mask.detach(), seen_by(mask)
    added = torch.zeros_like(mask, dtype=q.dtype) if mask.dtype == torch.bool else mask
    bias = torch.where(sees, added, -torch.inf)
    while bias.dim() < 4:
        bias = bias[None]
    return bias.expand(*bias.shape[:2], q.shape[2], k.shape[2]).clone()


def alibi_of(mask, q, k):
    """Slopes [b, h] of the ALiBi in attn_mask, None where it adds nothing or something else. What a
    row has besides, as where positions count from the first key, changes no probability."""
    if not adds_something(mask):
        return None
    mask = mask.detach().cpu().broadcast_to(*q.shape[:3], k.shape[2])
    sees = seen_by(mask)

    def about_its_mean(x):  # of each row
        x = torch.where(sees, x.double(), 0)
        mean = x.sum(-1, keepdim=True) / sees.sum(-1, keepdim=True).clamp(min=1)
        return torch.where(sees, x - mean, 0)

    bias = about_its_mean(mask)
    near = about_its_mean(-distances(*mask.shape[2:]).abs().expand_as(mask))
    slopes = (near * bias).sum((-2, -1)) / near.square().sum((-2, -1)).clamp(min=1)
    # Rounded to 16 bits, far keys would be off by more than any kernel may be.
    if (bias - slopes[..., None, None] * near).abs().max() > 1e-6 * bias.abs().max():
        return None
    return slopes.float()


def split_mask(options, q, k):
    """(causal, window_left, window_right, keep) that mean the same as PyTorch's is_causal and what
    attn_mask hides, or None where none do."""
    b, q_len, kv_len = q.shape[0], q.shape[2], k.shape[2]
    if options.get("is_causal") and q_len != kv_len:
        raise Refused(
            f"is_causal with q_len {q_len} and kv_len {kv_len}: PyTorch aligns that mask at the "
            "top left, flashbench at the bottom right"
        )
    mask = options.get("attn_mask")
    if mask is None:
        return bool(options.get("is_causal")), None, None, None
    sees = seen_by(mask).cpu().broadcast_to(b, q.shape[1], q_len, kv_len)
    keep = sees[:, 0].any(dim=1)  # keys that no query sees are hidden either way
    for left, right in bands(sees[:, :1]):
        allowed = band(q_len, kv_len, left, right)
        unseen = ~allowed.any(dim=0)  # whatever the band hides from all may be kept
        if torch.equal(sees, (keep[:, None, None, :] & allowed).broadcast_to(sees.shape)):
            kept = None if (keep | unseen).all() else keep.to(torch.uint8)
            causal = right == 0
            return causal, left, (None if causal else right), kept
    return None
