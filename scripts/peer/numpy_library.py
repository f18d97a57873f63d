"""A library that takes NumPy's arrays."""

import numpy as np
from library import Library
from safetensors import safe_open
from safetensors.numpy import save_file

from flashbench import worker


class NumpyLibrary(Library):
    """Reads and writes tensors for such a library."""

    def load(self, case, path):
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}

    def save(self, results, path):
        save_file({name: np.ascontiguousarray(x) for name, x in results.items()}, path)

    def arrays(self):
        return worker.Numpy()
