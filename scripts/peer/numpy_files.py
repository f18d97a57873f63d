"""Files of tensors, for libraries that take NumPy's arrays."""

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file


def by_numpy(path):
    """The tensors of a file, by name."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def save_as_contiguous(tensors, path):
    save_file({name: np.ascontiguousarray(x) for name, x in tensors.items()}, path)
