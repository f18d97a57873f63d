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
