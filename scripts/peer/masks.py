"""Who sees whom, as flashbench means it, for libraries that take a mask."""

import numpy as np


def ends(case):
    """(left, right): how many keys a query sees before and after its own; None: all of them."""
    left, right = case["window_left"], 0 if case["causal"] else case["window_right"]
    if left is not None and left >= case["kv_len"] - 1:
        left = None
    if right is not None and right >= case["q_len"] - 1:
        right = None
    return left, right


def band(case):
    """[q_len, kv_len], True where the query sees the key but for padding; None: everywhere."""
    left, right = ends(case)
    if left is None and right is None:
        return None
    own = np.arange(case["q_len"])[:, None] + (case["kv_len"] - case["q_len"])  # the last keys
    key = np.arange(case["kv_len"])
    sees = np.ones((case["q_len"], case["kv_len"]), dtype=bool)
    if left is not None:
        sees &= own - left <= key
    if right is not None:
        sees &= key <= own + right
    return sees


def is_plain_causal(case):
    """Where aligning at the top left, as libraries do, is the same, and there is no window."""
    return case["q_len"] == case["kv_len"] and ends(case) == (None, 0)


def hidden_or_seen(case, tensors):
    """[b or 1, 1, q_len or 1, kv_len], True where the query sees the key; None: everywhere."""
    keep = tensors.get("mask")
    keep = None if keep is None else keep.astype(bool)[:, None, None, :]
    sees = band(case)
    if sees is None:
        return keep
    return sees[None, None] if keep is None else keep & sees


def added(case, tensors, dtype):
    """[b or 1, h or 1, q_len, kv_len], ALiBi and a bias as what is added to the scores, -inf where
    the query does not see the key; None: nothing is added."""
    total = None
    if "bias" in tensors:
        total = tensors["bias"].astype(np.float32)
    if "alibi_slopes" in tensors:
        own = np.arange(case["q_len"])[:, None] + (case["kv_len"] - case["q_len"])
        distance = np.abs(own - np.arange(case["kv_len"])).astype(np.float32)
        alibi = -tensors["alibi_slopes"][:, :, None, None] * distance
        total = alibi if total is None else total + alibi
    sees = hidden_or_seen(case, tensors)
    if total is not None and sees is not None:
        total = np.where(sees, total, np.float32(-np.inf))
    return None if total is None else np.ascontiguousarray(total.astype(dtype))


def bytes_of_added(case):
    """What `added` may need."""
    return 4 * case["b"] * case["h"] * case["q_len"] * case["kv_len"]
