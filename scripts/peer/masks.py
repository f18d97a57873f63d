"""Who sees whom, as flashbench means it, for libraries that take a mask."""

import numpy as np


def band(case):
    """[q_len, kv_len], True where the query sees the key but for padding; None: everywhere."""
    q_len, kv_len = case["q_len"], case["kv_len"]
    left, right = case["window_left"], 0 if case["causal"] else case["window_right"]
    if left is None and (right is None or q_len == 1 and right == 0):
        return None
    own = np.arange(q_len)[:, None] + (kv_len - q_len)  # aligned with the last keys
    key = np.arange(kv_len)
    sees = np.ones((q_len, kv_len), dtype=bool)
    if left is not None:
        sees &= own - left <= key
    if right is not None:
        sees &= key <= own + right
    return sees


def is_plain_causal(case):
    """Where aligning at the top left, as libraries do, is the same, and there is no window."""
    square = case["causal"] and 1 < case["q_len"] == case["kv_len"]
    return bool(square and case["window_left"] is None)
