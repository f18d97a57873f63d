#!/usr/bin/env python3
"""Measures OpenVINO's scaled-dot-product attention on the CPU as flashbench measures its own.

    build/peers/bin/pip install numpy safetensors openvino
    build/peers/bin/python scripts/peer/peer_openvino.py --h 8 --d 64 --type flash --json o.json

The operator is ScaledDotProductAttention of opset 13: forward, no grouped heads, no soft cap; ALiBi
and a bias are a mask of floats, sinks an operand of their own. OpenVINO may compute f32 models in
bf16; here the precision is that of the inputs. Inputs, FLOP rules,
verification and report are those of scripts/peer/peer_pytorch.py.
"""

import ctypes
import sys

import peerlib
from library import Job
from sampling import Unsupported, require_memory

try:
    import numpy as np
    import openvino as ov
    import openvino.opset13 as ops
    from masks import added, bytes_of_added, hidden_or_seen, is_plain_causal
    from numpy_library import NumpyLibrary
    from openvino.utils.node_factory import NodeFactory
except ImportError as missing:
    sys.exit(f"{sys.argv[0]}: {missing.name} is missing: pip install numpy safetensors openvino")

TYPES = {"f32": (ov.Type.f32, np.float32), "f16": (ov.Type.f16, np.float16)}


def claimed_writable(x):
    """The same memory: OpenVINO takes no array that it may not write, and reads its inputs only."""
    if x.flags.writeable:
        return x
    lies = (ctypes.c_char * x.nbytes).from_address(x.ctypes.data)
    return np.frombuffer(lies, x.dtype).reshape(x.shape)


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
    if case["softcap"]:
        raise Unsupported("OpenVINO's ScaledDotProductAttention has no soft cap")
    if case["alibi"] != "none" or case["bias"] != "none":
        require_memory(bytes_of_added(case))


class ScaledDotProductAttention(Job):
    kernel = "scaled_dot_product_attention"

    def __init__(self, core, case, tensors, threads):
        kind, self.dtype = TYPES[case["dtype"]]
        causal = is_plain_causal(case) and "mask" not in tensors
        mask = added(case, tensors, self.dtype)
        if mask is None and not causal:
            mask = hidden_or_seen(case, tensors)
        causal = causal and mask is None
        feeds = [np.ascontiguousarray(tensors[name]) for name in "qkv"]
        sinks = tensors.get("sinks")
        extra = [mask, None if sinks is None else sinks.astype(self.dtype)[None, :, None, None]]
        feeds += [np.ascontiguousarray(x) for x in extra if x is not None]
        inputs = [ops.parameter(list(x.shape), ov.Type(x.dtype)) for x in feeds]
        operands = inputs[: 3 + (mask is not None)]
        if mask is None:
            operands.append(ops.constant(np.zeros((), self.dtype)))
        operands.append(ops.constant(np.array(case["scale"], self.dtype)))
        if sinks is not None:
            operands.append(inputs[-1])
        node = NodeFactory("opset13").create(
            "ScaledDotProductAttention", [x.output(0) for x in operands], {"causal": causal}
        )
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
            self.request.set_input_tensor(i, ov.Tensor(claimed_writable(x), shared_memory=True))

    def call(self):
        self.request.infer()

    def results(self):
        return {"o": self.request.get_output_tensor(0).data}


class OpenVino(NumpyLibrary):
    name = "openvino"
    version = ov.__version__.split("-")[0]
    compiler = "OpenVINO's wheel"
    flags = ov.__version__
    computes = NumpyLibrary.computes + (
        "d_v window_left window_right softcap sinks alibi bias bias_shape".split()
    )
    kernels = {"scaled_dot_product_attention": "flash"}

    def __init__(self):
        self.core = ov.Core()
        self.threads = 1

    def set_up(self, backend, device, threads):
        self.threads = threads

    def description(self, kind, kernel):
        return "ScaledDotProductAttention of opset 13"

    def prepare(self, case, tensors):
        refuse(case)
        return ScaledDotProductAttention(self.core, case, tensors, self.threads)


if __name__ == "__main__":
    sys.exit(peerlib.main(OpenVino(), __doc__))
