"""What a peer is: a library, and a case of it that is ready to run."""

import time

from sampling import peak_rss_growth


class Job:
    """A case ready to run. Subclasses launch it and hand out what it computed."""

    on_gpu = False  # whether a device times it, which no program here disturbs
    kernel = ""  # what computes it, as the report names it

    def call(self):
        """One launch of what is timed."""
        raise NotImplementedError

    def timed(self, iterations):
        """Seconds that `iterations` launches take, all work finished."""
        start = time.perf_counter()
        for _ in range(iterations):
            self.call()
        return time.perf_counter() - start

    def save(self, path):
        """Writes o and, for a backward pass, dq, dk and dv of the last launch as .safetensors."""
        raise NotImplementedError

    def peak_bytes(self):
        """Resident memory that one launch adds, or None where the system does not tell."""
        return peak_rss_growth(self.call)


class Library:
    """A library to be measured. `kernels` maps the names that --kernel takes to their types."""

    name = version = ""
    # The fields of a problem that its script knows, as the schema names them.
    computes = "b h h_kv q_len kv_len d pass dtype causal mask mask_keep scale seed input".split()
    git_sha = None
    compiler = flags = ""
    isa = None
    kernels = {}
    backends = ("cpu",)

    def set_up(self, backend, device, threads):
        """Before the first case and whenever these change; the name of the GPU, if it is one."""
        raise NotImplementedError

    def prepare(self, case, path):
        """The Job of a case whose inputs are in the .safetensors file, or raises Unsupported."""
        raise NotImplementedError
