"""The tensors of a problem, as a function of Python takes them: NumPy's or PyTorch's, over memory that flashbench
shares."""

import math
import mmap
import os
import warnings


class Unsupported(Exception):
    """The problem is not for this function."""


class Failed(Exception):
    """What a function has done that it must not, in a line."""


class Numpy:
    """Tensors as NumPy arrays over shared memory."""

    autograd = False
    no_memory = (MemoryError,)  # what is raised where there is not enough

    def __init__(self):
        import numpy

        self.np = numpy
        self.dtypes = {"f32": numpy.float32, "f16": numpy.float16, "u8": numpy.uint8, "i32": numpy.int32}
        try:
            import ml_dtypes
        except ImportError:
            return
        self.dtypes |= {"bf16": ml_dtypes.bfloat16, "e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}

    def require(self, device):
        """Raises Unsupported where tensors cannot be on that GPU ("cuda:0")."""
        raise Unsupported("NumPy computes on the processor: --as torch for a function of PyTorch, or no --backend cuda")

    def view(self, memory, tensor):
        if tensor["dtype"] not in self.dtypes:
            raise Unsupported(f"NumPy has no {tensor['dtype']}; install ml_dtypes")
        dtype = self.np.dtype(self.dtypes[tensor["dtype"]])
        strides = [n * dtype.itemsize for n in tensor["strides"]]
        return self.np.ndarray(tensor["shape"], dtype, memory, tensor["offset"], strides)

    def store(self, into, result):
        result = self.np.asarray(result)
        if result.shape != into.shape:
            raise ValueError(f"shape {list(result.shape)} where {list(into.shape)} is wanted")
        into[...] = result

    def lost(self):
        """Whether a GPU computes nothing more for this process."""
        return False

    def release(self):
        """Memory that is kept for later is free for others."""


class Torch(Numpy):
    """Tensors as PyTorch's: on the processor over the same memory, on a GPU beside it (shared.py)."""

    autograd = True

    def __init__(self):
        super().__init__()
        import torch

        # Inputs are mapped without write permission, which is meant.
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        self.torch = torch
        self.no_memory = (MemoryError, torch.cuda.OutOfMemoryError)
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
        self.torch_dtypes = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "u8": torch.uint8,
                             "i32": torch.int32, "e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}

    def require(self, device):
        cuda = self.torch.cuda
        count = cuda.device_count() if cuda.is_available() else 0
        if int(device.removeprefix("cuda:")) >= count:
            raise Unsupported(f"PyTorch {self.torch.__version__} sees {count or 'no'} CUDA devices here, and no {device}")

    def view(self, memory, tensor):
        count = math.prod(tensor["shape"])
        flat = self.torch.frombuffer(memory, dtype=self.torch_dtypes[tensor["dtype"]], count=count,
                                     offset=tensor["offset"])
        return flat.as_strided(tensor["shape"], tensor["strides"])

    def store(self, into, result):
        if tuple(result.shape) != tuple(into.shape):
            raise ValueError(f"shape {list(result.shape)} where {list(into.shape)} is wanted")
        if result.device != into.device:
            raise ValueError(f"it is on {result.device} where {into.device} is wanted")
        into.copy_(result.detach())

    def lost(self):
        if not self.torch.cuda.is_initialized():
            return False
        try:
            self.torch.cuda.synchronize()
        except RuntimeError:  # every call gives the same error from now on
            return True
        return False

    def release(self):
        self.torch.cuda.empty_cache()


def mapped(message, descriptors):
    """The memory of inputs, read-only, and of outputs."""
    sizes = (message["inputs"]["bytes"], message["outputs"]["bytes"])
    accesses = (mmap.ACCESS_READ, mmap.ACCESS_WRITE)
    try:
        return [mmap.mmap(fd, size, access=access) for fd, size, access in zip(descriptors, sizes, accesses)]
    finally:
        for fd in descriptors:
            os.close(fd)
