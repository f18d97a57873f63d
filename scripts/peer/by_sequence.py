"""A ragged batch for PyTorch, whose attention takes none."""

import itertools

import torch
from device_job import DeviceJob
from sampling import Unsupported


class BySequence(DeviceJob):
    """A ragged batch: a call for each sequence, one after the other."""

    def __init__(self, case, tensors, device, make):
        self.on_gpu = device != "cpu"
        ends = [tensors[f"cu_seqlens_{side}"].tolist() for side in "qk"]
        of_queries, of_keys = (list(itertools.pairwise(side)) for side in ends)
        lengths = [(q1 - q0, k1 - k0) for (q0, q1), (k0, k1) in zip(of_queries, of_keys)]
        if any(0 in both for both in lengths):
            raise Unsupported("PyTorch's attention takes no sequence without queries or keys")
        self.jobs = []
        for b, (queries, keys) in enumerate(zip(of_queries, of_keys)):
            own = case | {"b": 1, "q_len": lengths[b][0], "kv_len": lengths[b][1], "ragged": "none"}
            parts = {"sinks": tensors["sinks"]} if "sinks" in tensors else {}
            if "alibi_slopes" in tensors:
                parts["alibi_slopes"] = tensors["alibi_slopes"][b : b + 1]
            for name, (begin, end) in {"q": queries, "k": keys, "v": keys, "do": queries}.items():
                if name in tensors:
                    parts[name] = tensors[name][begin:end].transpose(0, 1)[None]
            self.jobs.append(make(own, parts, device))
        kernels = sorted({job.kernel for job in self.jobs})
        self.kernel = " and ".join(kernels) + ", by sequence"

    def begin(self):
        for job in self.jobs:
            job.begin()
        return self

    def call(self):
        for job in self.jobs:
            job.call()

    def results(self):
        tensors = {"o": packed([job.o.detach() for job in self.jobs])}
        first = self.jobs[0]
        if first.gradients is not None:
            for i, name in enumerate(first.by_gradient()):
                each = [job.gradients[i] for job in self.jobs]
                tensors[name] = sum(each) if name == "dsinks" else packed(each)
        return tensors

    @property
    def gives_lse(self):
        return self.jobs[0].gives_lse

    def log_sum_exp(self):
        return packed([job.log_sum_exp()[..., None] for job in self.jobs])[..., 0]


def packed(by_sequence):
    """[rows, h, d] of [1, h, rows, d] of each."""
    return torch.cat([x[0].transpose(0, 1) for x in by_sequence])
