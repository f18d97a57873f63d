"""PyTorch's launches timed by who runs them: the processor, or a GPU by its events."""

import torch
from library import Job


class DeviceJob(Job):
    """A job of PyTorch; `on_gpu` says which."""

    def timed(self, iterations):
        if not self.on_gpu:
            return super().timed(iterations)
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self.call()  # as flashbench does: the GPU is busy until the timed launches are queued
        start.record()
        for _ in range(iterations):
            self.call()
        end.record()
        end.synchronize()
        return 1e-3 * start.elapsed_time(end)

    def peak_bytes(self):
        if not self.on_gpu:
            return super().peak_bytes()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        self.call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
