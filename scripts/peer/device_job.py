"""PyTorch's launches timed by who runs them: the processor, or a GPU by its events."""

import torch
from library import Job

from flashbench.shared import device_seconds


class DeviceJob(Job):
    """A job of PyTorch; `on_gpu` says which."""

    def timed(self, iterations):
        if not self.on_gpu:
            return super().timed(iterations)
        return device_seconds(torch, lambda: [self.call() for _ in range(iterations)])

    def peak_bytes(self):
        if not self.on_gpu:
            return super().peak_bytes()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        self.call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
