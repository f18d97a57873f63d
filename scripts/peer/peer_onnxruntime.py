#!/usr/bin/env python3
"""Measures ONNX Runtime's fused attention on the CPU as flashbench measures its own.

    build/peers/bin/pip install numpy safetensors onnx onnxruntime
    build/peers/bin/python scripts/peer/peer_onnxruntime.py --h 8 --d 64 --type flash --json onnx.json

The operator is com.microsoft MultiHeadAttention: forward, f32, no grouped heads. Its tensors are
[b, len, h*d]; they are transposed before and after, not in the timed calls. Inputs, FLOP rules,
verification and report are those of scripts/peer/peer_pytorch.py.
"""

import sys

import peerlib
from library import Job, Library
from sampling import Unsupported

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper
    from safetensors.numpy import load_file, save_file
except ImportError as missing:
    sys.exit(
        f"{sys.argv[0]}: {missing.name} is missing: pip install numpy safetensors onnx onnxruntime"
    )


def rows_first(x):
    """[b, h, len, d] -> [b, len, h*d]"""
    b, h, length, d = x.shape
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(b, length, h * d)


def model(case, shapes, masked):
    """An ONNX model of one MultiHeadAttention."""
    names = ["query", "key", "value"]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shapes[n]) for n in names]
    operands = list(names)
    if masked:
        inputs.append(
            helper.make_tensor_value_info("mask", TensorProto.INT32, [case["b"], case["kv_len"]])
        )
        operands += ["", "mask"]
    causal = int(case["causal"] and case["q_len"] > 1)
    node = helper.make_node(
        "MultiHeadAttention",
        operands,
        ["output"],
        domain="com.microsoft",
        num_heads=case["h"],
        scale=case["scale"],
        unidirectional=causal,
    )
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, shapes["query"])
    graph = helper.make_graph([node], "attention", inputs, [output])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return made.SerializeToString()


def refuse(case):
    """Raises Unsupported for what the operator cannot do."""
    if case["pass"] != "forward":
        raise Unsupported("ONNX Runtime's CPU kernels have no backward pass")
    if case["type"] != "flash":
        raise Unsupported("only ONNX Runtime's fused attention is measured (type flash)")
    if case["dtype"] != "f32":
        raise Unsupported(f"ONNX Runtime's MultiHeadAttention has no {case['dtype']} on the CPU")
    if case["h"] != case["h_kv"]:
        raise Unsupported("ONNX Runtime's MultiHeadAttention has no grouped heads")
    if case["causal"] and case["q_len"] not in (1, case["kv_len"]):
        raise Unsupported("its causal mask is aligned at the top left unless q_len = kv_len")


class MultiHeadAttention(Job):
    kernel = "multi_head_attention"

    def __init__(self, case, path, threads):
        tensors = load_file(path)
        self.case = case
        feeds = {
            name: rows_first(tensors[short])
            for name, short in (("query", "q"), ("key", "k"), ("value", "v"))
        }
        shapes = {name: list(x.shape) for name, x in feeds.items()}
        if "mask" in tensors:
            feeds["mask"] = tensors["mask"].astype(np.int32)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model(case, shapes, "mask" in feeds), options, providers=["CPUExecutionProvider"]
        )
        self.output = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shapes["query"], np.float32)
        self.values = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(x) for name, x in feeds.items()
        }
        self.binding = self.session.io_binding()
        for name, value in self.values.items():
            self.binding.bind_ortvalue_input(name, value)
        self.binding.bind_ortvalue_output("output", self.output)

    def call(self):
        self.session.run_with_iobinding(self.binding)

    def save(self, path):
        c = self.case
        o = self.output.numpy().reshape(c["b"], c["q_len"], c["h"], c["d"]).transpose(0, 2, 1, 3)
        save_file({"o": np.ascontiguousarray(o)}, path)


class OnnxRuntime(Library):
    name = "onnxruntime"
    version = onnxruntime.__version__
    compiler = "ONNX Runtime's wheel"
    flags = f"onnx {onnx.__version__}"
    kernels = {"multi_head_attention": "flash"}
    threads = 1

    def set_up(self, backend, device, threads):
        self.threads = threads

    def prepare(self, case, path):
        refuse(case)
        return MultiHeadAttention(case, path, self.threads)


if __name__ == "__main__":
    sys.exit(peerlib.main(OnnxRuntime(), __doc__))
