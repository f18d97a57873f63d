"""Runs a Python program with a PyTorch whose GPU is the processor: what asks for "cuda:0" gets tensors of the
processor, and events tell the processor's time. Nothing else is another than on a GPU.

    python cuda_stand_in.py LOG FILE.py ARGUMENTS...

LOG gets a line for each call of torch.cuda. A function that raises `torch.cuda.Lost` has lost its device.
"""

import os
import runpy
import sys
import time

import torch
from torch.overrides import TorchFunctionMode

LEAD_S = float(os.environ.get("STAND_IN_LEAD_S", "1e-4"))  # how long it sleeps
NAME = "cuda:0"
log = open(sys.argv[1], "a", buffering=1, encoding="utf-8")


class Lost(RuntimeError):
    def __init__(self):
        super().__init__("CUDA error: an illegal memory access was encountered")
        cuda.lost = True


class OnProcessor(TorchFunctionMode):
    """Calls that name the GPU get the processor."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        def here(value):
            return "cpu" if value == NAME or value == torch.device(NAME) else value

        args = tuple(here(x) if isinstance(x, (str, torch.device)) else x for x in args)
        kwargs = {k: here(x) if isinstance(x, (str, torch.device)) else x for k, x in (kwargs or {}).items()}
        return function(*args, **kwargs)


class Event:
    """What is queued on a device that sleeps begins after that."""

    def __init__(self, enable_timing=False):
        assert enable_timing

    def record(self):
        log.write("record\n")
        self.at = max(time.perf_counter(), cuda.busy)

    def synchronize(self):
        time.sleep(max(cuda.busy - time.perf_counter(), 0))

    def elapsed_time(self, end):
        return max(1e3 * (end.at - self.at), 1e-3)


class Cuda:
    lost = False
    busy = 0.0  # until then
    left_s = 0.0  # of work on other streams

    def sleep(self, cycles):
        log.write(f"sleep {cycles}\n")
        self.busy = time.perf_counter() + LEAD_S

    def synchronize(self):
        log.write("synchronize\n")
        time.sleep(self.left_s)
        if self.lost:
            raise Lost


cuda = Cuda()
torch.cuda._sleep, torch.cuda.synchronize = cuda.sleep, cuda.synchronize
torch.cuda.Event, torch.cuda.Lost, torch.cuda.stand_in = Event, Lost, cuda
torch.cuda.is_available = torch.cuda.is_initialized = lambda: True
torch.cuda.device_count = lambda: 1
torch.cuda.get_device_name = lambda device: "a stand-in"
torch.cuda.set_device = lambda device: log.write(f"device {device}\n")
torch.cuda.empty_cache = lambda: log.write("empty\n")

OnProcessor().__enter__()
sys.argv = sys.argv[2:]
sys.path[0] = sys.argv[0].rpartition("/")[0]
runpy.run_path(sys.argv[0], run_name="__main__")
