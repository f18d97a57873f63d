#!/usr/bin/env python3
"""Measures OpenVINO's scaled-dot-product attention on the CPU as flashbench measures its own.

    build/peers/bin/pip install numpy safetensors openvino
    build/peers/bin/python scripts/peer/peer_openvino.py --h 8 --d 64 --type flash --json openvino.json

The operator is ScaledDotProductAttention of opset 13: forward, no grouped heads. OpenVINO may
compute f32 models in bf16; here the precision is that of the inputs. Inputs, FLOP rules,
verification and report are those of scripts/peer/peer_pytorch.py.
"""

import sys

import peerlib
from library import Job, Library
from sampling import Unsupported

try:
    import numpy as np
    import openvino as ov
    import openvino.opset13 as ops
    from masks import band, is_plain_causal
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError as missing:
    sys.exit(f"{sys.argv[0]}: {missing.name} is missing: pip install numpy safetensors openvino")

TYPES = {"f32": (ov.Type.f32, np.float32), "f16": (ov.Type.f16, np.float16)}


def load(path):
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def visible(case, keep):
    """The mask as an array that broadcasts to [b, h, q_len, kv_len], or None. True = sees."""
    mask = None if keep is None else keep.astype(bool)[:, None, None, :]
    sees = None if is_plain_causal(case) else band(case)
    if sees is None:
        return mask
    return sees[None, None] if mask is None else mask & sees


def refuse(case):
    """Raises Unsupported for what the operator cannot do."""
    if case["pass"] != "forward":
        raise Unsupported("OpenVINO has no backward pass")
    if case["type"] != "flash":
        raise Unsupported("only OpenVINO's fused attention is measured (type flash)")
    if case["dtype"] not in TYPES:
        raise Unsupported(
            f"{case['dtype']} does not go through NumPy, by which tensors reach OpenVINO here"
        )
    if case["h"] != case["h_kv"]:
        raise Unsupported("OpenVINO's ScaledDotProductAttention has no grouped heads")


class ScaledDotProductAttention(Job):
    kernel = "scaled_dot_product_attention"

    def __init__(self, core, case, path, threads):
        tensors = load(path)
        kind, self.dtype = TYPES[case["dtype"]]
        mask = visible(case, tensors.get("mask"))
        feeds = [tensors[name] for name in "qkv"]
        inputs = [ops.parameter(list(x.shape), kind) for x in feeds]
        operands = list(inputs)
        if mask is not None:
            feeds.append(mask)
            inputs.append(ops.parameter(list(mask.shape), ov.Type.boolean))
            operands.append(inputs[-1])
        else:
            operands.append(ops.constant(np.zeros((), self.dtype)))
        operands.append(ops.constant(np.array(case["scale"], self.dtype)))
        node = ops.scaled_dot_product_attention(*operands, causal=is_plain_causal(case))
        settings = {
            "INFERENCE_PRECISION_HINT": kind.to_string(),
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        self.request = core.compile_model(
            ov.Model([node], inputs, "attention"), "CPU", settings
        ).create_infer_request()
        self.feeds = feeds  # the request reads them where they lie
        for i, x in enumerate(feeds):
            self.request.set_input_tensor(i, ov.Tensor(x, shared_memory=True))

    def call(self):
        self.request.infer()

    def save(self, path):
        save_file({"o": np.ascontiguousarray(self.request.get_output_tensor(0).data)}, path)


class OpenVino(Library):
    name = "openvino"
    version = ov.__version__.split("-")[0]
    compiler = "OpenVINO's wheel"
    flags = ov.__version__
    computes = Library.computes + ["window_left", "window_right"]
    kernels = {"scaled_dot_product_attention": "flash"}

    def __init__(self):
        self.core = ov.Core()
        self.threads = 1

    def set_up(self, backend, device, threads):
        self.threads = threads

    def prepare(self, case, path):
        refuse(case)
        return ScaledDotProductAttention(self.core, case, path, self.threads)


if __name__ == "__main__":
    sys.exit(peerlib.main(OpenVino(), __doc__))
