"""What a peer is: a library, and a case of it that is ready to run."""

import time

from sampling import peak_rss_growth


class Job:
    """A case ready to run. Subclasses launch it and hand out what it computed."""

    on_gpu = False  # whether a device times it, which no program here disturbs
    kernel = ""  # what computes it, as the report names it
    gives_lse = False  # whether log_sum_exp() can be asked for, which is not timed

    def call(self):
        """One launch of what is timed."""
        raise NotImplementedError

    def timed(self, iterations):
        """Seconds that `iterations` launches take, all work finished."""
        start = time.perf_counter()
        for _ in range(iterations):
            self.call()
        return time.perf_counter() - start

    def begin(self):
        """What comes before launches and is not timed; again, where inputs have changed. Returns self."""
        return self

    def results(self):
        """o and, for a backward pass, dq, dk and dv of the last launch, by name."""
        raise NotImplementedError

    def log_sum_exp(self):
        """Of the inputs as they are; what is judged alone goes without."""
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
    rounds = ()  # as fbk_kernel.rounds: what it rounds beyond what every kernel must. Of workers alone: --external has no word for it
    backends = ("cpu",)
    no_memory = (MemoryError,)  # what it raises where there is not enough

    def set_up(self, backend, device, threads):
        """Before the first case and whenever these change; the name of the GPU, if it is one."""
        raise NotImplementedError

    def load(self, case, path):
        """The tensors of a .safetensors file, by name, as prepare() takes them."""
        raise NotImplementedError

    def save(self, results, path):
        """Writes what Job.results() gave as .safetensors."""
        raise NotImplementedError

    def prepare(self, case, tensors):
        """The Job of a case, ready to run, or raises Unsupported. It reads the tensors where they lie; with
        `in_place` the case says that q, k, v and do change there between launches."""
        raise NotImplementedError

    # ---- as a worker of flashbench -----------------------------------------------------------------

    def arrays(self):
        """What tensors in shared memory are: worker.Numpy() or worker.Torch()."""
        raise NotImplementedError

    def layout(self, case):
        """bhsd or bshd: how q, k, v and do have to lie in memory to be read there."""
        return "bhsd"

    def description(self, kind, kernel):
        """What computes attention of this type, or this kernel, in a line."""
        raise NotImplementedError
