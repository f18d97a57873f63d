#!/usr/bin/env python3
"""Measures PyTorch's attention as flashbench measures its own, and writes the same JSON report.

    python3 -m venv build/peers && build/peers/bin/pip install torch numpy safetensors
    build/peers/bin/python scripts/peer/peer_pytorch.py --h 8 --d 64 --pass both --json torch.json
    build/peers/bin/python scripts/peer/peer_pytorch.py --h 8 --d 64 --kernel sdpa_math --causal

The inputs are flashbench's own, bit for bit; FLOPs are counted by its rules; what PyTorch computed
in a timed launch is judged by `flashbench check --external`, and a number without a pass is null.

--type flash   scaled_dot_product_attention; PyTorch picks the backend, the report names it. It
               takes ALiBi and a bias as a mask of floats, and has neither soft caps nor sinks
--type normal  q k^T, softmax and the product with v as three calls; all of these
--kernel       sdpa_flash, sdpa_efficient, sdpa_cudnn or sdpa_math force one SDPA backend by name;
               flex_attention is FlexAttention, compiled for the processor: all of these and
               pages, forward only. Compiling takes a C++ compiler and some 10 s a case, untimed

A backward is timed alone: autograd of an output whose forward ran before. PyTorch allocates its
results in every call; that is part of what its users wait for, and of these times.
"""

import itertools
import sys
import warnings

import peerlib
from library import Library
from sampling import Unsupported, require_memory

from flashbench import worker

try:
    import flex
    import torch
    from by_sequence import BySequence
    from device_job import DeviceJob
    from masks import band, is_plain_causal
    from safetensors.torch import save_file
    from saved_tensors import loaded
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention
except ImportError as missing:
    sys.exit(f"{sys.argv[0]}: {missing.name} is missing: pip install torch numpy safetensors")

BACKENDS = {
    "sdpa_flash": SDPBackend.FLASH_ATTENTION,
    "sdpa_efficient": SDPBackend.EFFICIENT_ATTENTION,
    "sdpa_cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa_math": SDPBackend.MATH,
}
ISA = {"AVX2": "avx2", "AVX512": "avx512"}


def visible_mask(case, keep, device):
    """(attn_mask, is_causal) that mean what flashbench's masks mean; True = sees."""
    if keep is None and is_plain_causal(case):
        return None, True
    mask = None if keep is None else keep.bool()[:, None, None, :]
    sees = band(case)
    if sees is not None:
        sees = torch.from_numpy(sees).to(device)
        mask = sees if mask is None else mask & sees
    return mask, False


def alibi_bias(case, slopes, sees):
    """[b, h, q_len, kv_len] in f32, what is added to the scores: -slope·distance, -inf where the
    query does not see the key; slopes [b, h]."""
    own = torch.arange(case["q_len"], device=slopes.device) + (case["kv_len"] - case["q_len"])
    key = torch.arange(case["kv_len"], device=slopes.device)
    bias = -slopes[:, :, None, None] * (own[:, None] - key).abs().float()
    return bias if sees is None else bias.masked_fill_(~sees, float("-inf"))


class TorchJob(DeviceJob):
    """Attention of one case; `call` is what is timed."""

    def __init__(self, case, tensors, device):
        self.on_gpu = device != "cpu"
        self.q, self.k, self.v = (tensors[name] for name in "qkv")
        self.do = tensors.get("do")
        self.sinks = tensors.get("sinks")
        self.mask, self.is_causal = visible_mask(case, tensors.get("mask"), device)
        self.case = case
        self.bias = tensors.get("bias")
        self.alibi = None
        if case["alibi"] != "none" or self.bias is not None:
            self.spell_causal_out(case, device)
        if case["alibi"] != "none":
            self.alibi = alibi_bias(case, tensors["alibi_slopes"], self.mask)
        self.added = self.add_up()  # in whose place masks are no longer looked at
        self.scale = case["scale"]
        self.gqa = case["h"] != case["h_kv"]
        self.o = self.gradients = None
        self.wants = case["pass"]
        self.gives_lse = self.on_gpu and self.wants != "forward"
        if self.wants != "forward":
            for x in self.differentiable():
                x.requires_grad_(True)

    def add_up(self):
        """What is added to the scores, masks included: broadcast to [b, h, q_len, kv_len]; None:
        nothing is."""
        if self.bias is None:
            return self.alibi
        if self.alibi is not None:
            return self.alibi + self.bias
        return self.bias if self.mask is None else torch.where(self.mask, self.bias, -torch.inf)

    def spell_causal_out(self, case, device):
        """The mask that is_causal stands for."""
        if self.is_causal:
            n = case["q_len"]
            self.mask = torch.ones(n, n, dtype=torch.bool, device=device).tril()
            self.is_causal = False

    def differentiable(self):
        return list(self.by_gradient().values())

    def by_gradient(self):
        """Name of a gradient: of which tensor."""
        tensors = {"dq": self.q, "dk": self.k, "dv": self.v}
        if self.sinks is not None:
            tensors["dsinks"] = self.sinks
        if self.case["bias_grad"]:
            tensors["dbias"] = self.bias
        return tensors

    def begin(self):
        """What comes before the launches that are timed: the forward of a lone backward."""
        if self.wants == "backward":
            self.o = self.attention()
        return self

    def attention(self):
        if self.case["bias_grad"]:  # of which autograd has to see how it was added
            self.added = self.add_up()
        return self.attend()

    def attend(self):
        raise NotImplementedError

    def call(self):
        if self.wants == "forward":
            with torch.inference_mode():
                self.o = self.attention()
            return
        if self.wants == "both":
            self.o = self.attention()
        keep = self.wants == "backward"
        self.gradients = torch.autograd.grad(
            self.o, self.differentiable(), self.do, retain_graph=keep
        )

    @torch.no_grad()
    def log_sum_exp(self):
        """Of scores in f32, head by head: scaled_dot_product_attention keeps it to itself, and a
        sample of the gradients is judged with it, where the processor would take long to judge all
        of them. It is judged, too."""
        b, h, n, m = (self.case[name] for name in ("b", "h", "q_len", "kv_len"))
        lse = torch.empty(b, h, n, device=self.q.device)
        mask = self.mask
        if self.is_causal:
            mask = torch.ones(n, m, dtype=torch.bool, device=self.q.device).tril()
        if mask is not None:
            mask = mask.expand(b, 1, n, m)
        added = None if self.added is None else self.added.expand(b, h, n, m)
        for i, head in itertools.product(range(b), range(h)):
            k = self.k[i, head * self.case["h_kv"] // h]
            scores = self.scale * torch.matmul(self.q[i, head].float(), k.float().mT)
            scores = capped(self.case, scores)
            if added is not None:
                scores += added[i, head]
            elif mask is not None:
                scores.masked_fill_(~mask[i, 0], float("-inf"))
            lse[i, head] = torch.logsumexp(scores, dim=-1)
        return lse if self.sinks is None else torch.logaddexp(lse, self.sinks[:, None])

    def results(self):
        tensors = {"o": self.o.detach()}
        if self.gradients is not None:
            tensors.update(zip(self.by_gradient(), self.gradients))
        return tensors


class Sdpa(TorchJob):
    """One call of scaled_dot_product_attention."""

    def __init__(self, case, tensors, device):
        if case["softcap"]:
            raise Unsupported("PyTorch's SDPA has no soft cap; --type normal computes it")
        if case["sinks"] != "none":
            raise Unsupported("PyTorch's SDPA has no sinks; --type normal computes them")
        self.forced = case["kernel"]
        # Its fused kernels for the processor take one width and give a mask no gradient; they leave
        # the rest to sdpa_math.
        unfused = case["d_v"] != case["d"] or case["bias_grad"]
        if self.forced == "sdpa_math" or case["type"] == "normal" or unfused:
            require_memory(scores_bytes(case), device)
        elif case["alibi"] != "none" or case["bias"] != "none":
            require_memory(bytes_of_added(case), device)
        super().__init__(case, tensors, device)
        self.kernel = self.forced or self.chosen()

    def options(self):
        return {
            "attn_mask": self.mask if self.added is None else self.added,
            "is_causal": self.is_causal,
            "scale": self.scale,
            "enable_gqa": self.gqa,
        }

    def chosen(self):
        """The backend that PyTorch picks for this call."""
        choice = SDPBackend(torch._fused_sdp_choice(self.q, self.k, self.v, **self.options()))
        return next((name for name, value in BACKENDS.items() if value == choice), str(choice))

    def attend(self):
        if self.forced is None:
            return scaled_dot_product_attention(self.q, self.k, self.v, **self.options())
        with sdpa_kernel(BACKENDS[self.forced]), warnings.catch_warnings(record=True) as why:
            try:
                return scaled_dot_product_attention(self.q, self.k, self.v, **self.options())
            except RuntimeError as error:
                if not any(
                    text in str(error) for text in ("No available kernel", "No viable backend")
                ):
                    raise
                reasons = "; ".join(str(w.message).split(" (Triggered")[0] for w in why)
                raise Unsupported(
                    f"PyTorch has no {self.forced} for this case: {reasons or error}"
                ) from None


class ThreeCalls(TorchJob):
    """q k^T, softmax, and the product with v."""

    kernel = "three_calls"

    def __init__(self, case, tensors, device):
        require_memory(scores_bytes(case), device)
        super().__init__(case, tensors, device)
        self.spell_causal_out(case, device)
        sees = self.mask if self.added is None else self.added > -torch.inf
        if self.sinks is None and sees is not None and not sees.any(dim=-1).all():
            raise Unsupported("PyTorch's softmax of a query that sees no key is NaN")
        self.hidden = None if self.mask is None or self.added is not None else ~self.mask

    def attend(self):
        groups = self.case["h"] // self.case["h_kv"]
        k, v = (x.repeat_interleave(groups, dim=1) if groups > 1 else x for x in (self.k, self.v))
        scores = capped(self.case, torch.matmul(self.q * self.scale, k.mT))
        if self.added is not None:  # in f32: twice rounded to 16 bits, O would be off
            scores = scores + self.added.float()
        if self.hidden is not None:
            scores = scores.masked_fill(self.hidden, float("-inf"))
        return torch.matmul(self.softmax(scores).to(v.dtype), v)

    def softmax(self, scores):
        """A sink is a column beside them, which is dropped again, as transformers' gpt-oss has it
        ("eager"); in f32, as the sinks are."""
        if self.sinks is None:
            return torch.softmax(scores, dim=-1)
        column = self.sinks[:, None, None].expand(*scores.shape[:-1], 1)
        return torch.softmax(torch.cat([scores, column], dim=-1), dim=-1)[..., :-1]


def capped(case, scores):
    """Scaled scores under the case's soft cap, if it has one."""
    cap = case["softcap"]
    return cap * torch.tanh(scores / cap) if cap else scores


def bytes_of_added(case):
    """ALiBi, or a bias under masks, as a mask of floats."""
    return 4 * case["b"] * case["h"] * case["q_len"] * case["kv_len"]


def scores_bytes(case):
    """S and P, of every head at once; the backward adds their gradients, a soft cap its tanh, sinks
    S beside them, ALiBi and a bias what is added. These three make f32 of what follows."""
    sinks, alibi, bias = (case[name] != "none" for name in ("sinks", "alibi", "bias"))
    element = 4 if case["dtype"] == "f32" or sinks or alibi or bias else 2
    copies = 2 if case["pass"] == "forward" else 4
    copies += sum((case["softcap"] > 0, sinks, alibi, bias))
    return copies * element * case["b"] * case["h"] * case["q_len"] * case["kv_len"]


class PyTorch(Library):
    name = "pytorch"
    version = torch.__version__
    git_sha = torch.version.git_version
    compiler = next(
        (s.strip(" -") for s in torch.__config__.show().splitlines() if "GCC" in s), "unknown"
    )
    flags = f"PyTorch's binary, CPU capability {torch.backends.cpu.get_cpu_capability()}"
    isa = ISA.get(torch.backends.cpu.get_cpu_capability())
    computes = Library.computes + (
        "d_v window_left window_right softcap sinks alibi bias bias_shape bias_grad ragged "
        "page_size v_in_k".split()
    )
    rounds = ("gradients_of_query_heads",)  # autograd of repeat_interleave, and cuDNN itself
    kernels = dict.fromkeys([*BACKENDS, flex.NAME], "flash")
    kernels |= {"sdpa_math": "normal", "three_calls": "normal"}
    backends = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    device = "cpu"
    no_memory = (MemoryError, torch.cuda.OutOfMemoryError)

    def set_up(self, backend, device, threads):
        torch.set_num_threads(threads)
        self.device = "cpu"
        if backend == "cuda":
            self.device = f"cuda:{device}"
            torch.cuda.set_device(device)
            return torch.cuda.get_device_name(device)
        return None

    def load(self, case, path):
        return loaded(case, path, self.device)

    def save(self, results, path):
        save_file({name: x.cpu().contiguous() for name, x in results.items()}, path)

    def arrays(self):
        return worker.Torch()

    def description(self, kind, kernel):
        if kernel == flex.NAME:
            return "flex_attention, compiled"
        if kernel == "three_calls" or (kernel is None and kind == "normal"):
            return "q k^T, softmax and the product with v as three calls"
        return f"scaled_dot_product_attention, {kernel or 'the kernel that PyTorch picks'}"

    def prepare(self, case, tensors):
        if case["type"] == "paper":
            raise Unsupported("PyTorch has no kernel of type paper")
        if case["kernel"] == flex.NAME:
            flex.refuse(case, self.device)
            return flex.Flex(case, tensors).begin()
        if case["page_size"]:
            raise Unsupported(f"PyTorch's attention takes no pages but by --kernel {flex.NAME}")
        three_calls = case["kernel"] == "three_calls" or (
            case["kernel"] is None and case["type"] == "normal"
        )
        make = ThreeCalls if three_calls else Sdpa
        if case["ragged"] != "none":
            return BySequence(case, tensors, self.device, make).begin()
        return make(case, tensors, self.device).begin()


if __name__ == "__main__":
    sys.exit(peerlib.main(PyTorch(), __doc__))
