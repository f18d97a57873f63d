#!/usr/bin/env python3
"""Measures ONNX Runtime's fused attention on the CPU as flashbench measures its own.

    build/peers/bin/pip install numpy safetensors onnx onnxruntime
    build/peers/bin/python scripts/peer/peer_onnxruntime.py --h 8 --d 64 --type flash --json o.json

Three operators, forward only; the first that has all of a case computes it, or --kernel forces one:

multi_head_attention   com.microsoft: f32, padding, causal masks
group_query_attention  com.microsoft: causal masks only; f16, grouped heads, windows to the left,
                       soft caps, sinks, ALiBi and a bias as a mask of floats. Where it has 1 query,
                       the other keys are its cache, to which each timed call adds the last one
attention              of the standard (opset 23): f16, grouped heads, values of another width, soft
                       caps; every mask but plain causal is a tensor, ALiBi and a bias one of floats

Tensors of the first two are [b, len, h*d]; they are transposed before and after, not in the timed
calls. Inputs, FLOP rules, verification and report are those of scripts/peer/peer_pytorch.py.
"""

import sys

import peerlib
from library import Job
from sampling import Unsupported, require_memory

try:
    import numpy as np
    import onnx
    import onnxruntime
    from masks import added, bytes_of_added, ends, hidden_or_seen, is_plain_causal
    from numpy_library import NumpyLibrary
    from onnx import helper
except ImportError as missing:
    sys.exit(
        f"{sys.argv[0]}: {missing.name} is missing: pip install numpy safetensors onnx onnxruntime"
    )

MICROSOFT = "com.microsoft"
FLOATS = {"f32": np.float32, "f16": np.float16}
IR_VERSION = 10  # of files with opset 23


def rows_first(x):
    """[b, h, len, d] -> [b, len, h*d]"""
    b, h, length, d = x.shape
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(b, length, h * d)


def adds(case):
    return case["alibi"] != "none" or case["bias"] != "none"


def refuse(case):
    """Raises Unsupported for what none of the operators can do."""
    if case["pass"] != "forward":
        raise Unsupported("ONNX Runtime's CPU kernels have no backward pass")
    if case["type"] != "flash":
        raise Unsupported("only ONNX Runtime's fused attention is measured (type flash)")
    if case["dtype"] not in FLOATS:
        raise Unsupported(f"ONNX Runtime's attention has no {case['dtype']} on the CPU")
    if adds(case):
        require_memory(bytes_of_added(case))


class Operator(Job):
    """A model of one operator, its operands bound. `feeds` has the named ones in order; None: left
    out."""

    kernel = domain = name = ""
    layout = "bshd"

    def __init__(self, case, tensors, threads):
        self.case, self.tensors = case, tensors
        self.dtype = FLOATS[case["dtype"]]
        self.outputs = self.make_outputs()
        feeds = self.make_feeds()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.model(feeds), options, providers=["CPUExecutionProvider"]
        )
        self.binding = self.session.io_binding()
        self.values = {}
        for name, x in feeds.items():
            if x is not None:
                self.values[name] = self.input_value(name, x)
                self.binding.bind_ortvalue_input(name, self.values[name])
        for name, value in self.outputs.items():
            self.binding.bind_ortvalue_output(name, value)

    @classmethod
    def lacks(cls, case):
        """What of the case it cannot do; "": nothing."""
        raise NotImplementedError

    def make_feeds(self):
        raise NotImplementedError

    def attributes(self):
        raise NotImplementedError

    def input_value(self, name, x):
        return onnxruntime.OrtValue.ortvalue_from_numpy(x)

    def output_value(self, *shape):
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), self.dtype)

    def make_outputs(self):
        c = self.case
        return {"output": self.output_value(c["b"], c["q_len"], c["h"] * c["d"])}

    def model(self, feeds):
        def described(name, x):
            return helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(x.dtype), list(x.shape)
            )

        operands = [name if x is not None else "" for name, x in feeds.items()]
        while not operands[-1]:
            operands.pop()
        inputs = [described(name, x) for name, x in feeds.items() if x is not None]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        outputs = [
            helper.make_tensor_value_info(name, kind, value.shape())
            for name, value in self.outputs.items()
        ]
        node = helper.make_node(
            self.name, operands, list(self.outputs), domain=self.domain, **self.attributes()
        )
        graph = helper.make_graph([node], "attention", inputs, outputs)
        opsets = [helper.make_opsetid("", 23), helper.make_opsetid(MICROSOFT, 1)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return made.SerializeToString()

    def call(self):
        self.session.run_with_iobinding(self.binding)

    def result(self):
        """[b, h, q_len, d_v]"""
        c = self.case
        o = self.outputs["output"].numpy()
        return o.reshape(c["b"], c["q_len"], c["h"], c["d"]).transpose(0, 2, 1, 3)

    def results(self):
        return {"o": self.result()}


class MultiHeadAttention(Operator):
    kernel, domain, name = "multi_head_attention", MICROSOFT, "MultiHeadAttention"

    @classmethod
    def lacks(cls, case):
        left, right = ends(case)
        if case["dtype"] != "f32":
            return case["dtype"]
        if case["h"] != case["h_kv"]:
            return "grouped heads"
        if case["d"] != case["d_v"]:
            return "values of another width"
        if case["softcap"] or case["sinks"] != "none" or adds(case):
            return "soft caps, sinks, ALiBi and a bias"
        if left is not None or right not in (None, 0):
            return "windows"
        if right == 0 and not is_plain_causal(case):
            return "causal masks that are not aligned at the top left"
        if right == 0 and case["mask"] != "none":
            return "result but NaN where padding leaves a causal query no key"
        return ""

    def make_feeds(self):
        feeds = dict(zip(("query", "key", "value"), (rows_first(self.tensors[n]) for n in "qkv")))
        mask = self.tensors.get("mask")
        return feeds | {"bias": None, "mask": None if mask is None else mask.astype(np.int32)}

    def attributes(self):
        c = self.case
        causal = int(is_plain_causal(c))
        return {"num_heads": c["h"], "scale": c["scale"], "unidirectional": causal}


class GroupQueryAttention(Operator):
    kernel, domain, name = "group_query_attention", MICROSOFT, "GroupQueryAttention"

    @classmethod
    def lacks(cls, case):
        right = ends(case)[1]
        one = case["q_len"] == 1 and right in (None, 0)  # which sees the last key in any case
        if right != 0 and not one:
            return "queries that see later keys"
        if not one and case["q_len"] != case["kv_len"]:
            return "several queries behind other keys"
        if case["d"] != case["d_v"]:
            return "values of another width"
        if case["mask"] != "none":
            return "padding"
        if one and case.get("in_place") and case["kv_len"] > 1:
            return "cache but one of its own, which it fills"
        return ""

    def make_outputs(self):
        c = self.case
        cache = [self.output_value(c["b"], c["h_kv"], c["kv_len"], c["d"]) for _ in "kv"]
        return super().make_outputs() | {"present_key": cache[0], "present_value": cache[1]}

    def make_feeds(self):
        c, past = self.case, self.case["kv_len"] - self.case["q_len"]
        feeds = {"query": rows_first(self.tensors["q"])}
        for name, x in (("key", self.tensors["k"]), ("value", self.tensors["v"])):
            feeds[name] = rows_first(x[:, :, past:])
        for name, x in (("past_key", self.tensors["k"]), ("past_value", self.tensors["v"])):
            feeds[name] = x if past else None
        feeds["seqlens_k"] = np.full(c["b"], c["kv_len"] - 1, np.int32)
        feeds["total_sequence_length"] = np.array([c["kv_len"]], np.int32)
        feeds |= dict.fromkeys(("cos_cache", "sin_cache", "position_ids"))
        whole = c | {"window_left": None}  # the operator has that itself
        feeds["attention_bias"] = added(whole, self.tensors, self.dtype)
        sinks = self.tensors.get("sinks")
        return feeds | {"head_sink": None if sinks is None else sinks.astype(self.dtype)}

    def input_value(self, name, x):
        """The cache is one buffer, to which the operator adds a key, as in a program that decodes."""
        if not name.startswith("past_"):
            return super().input_value(name, x)
        value = self.outputs[name.replace("past", "present")]
        value.update_inplace(np.ascontiguousarray(x))
        return value

    def attributes(self):
        c = self.case
        out = {"num_heads": c["h"], "kv_num_heads": c["h_kv"], "scale": c["scale"]}
        left = ends(c)[0]
        if left is not None:
            out["local_window_size"] = left + 1
        return out | ({"softcap": c["softcap"]} if c["softcap"] else {})


class Attention(Operator):
    kernel, name = "attention", "Attention"
    layout = "bhsd"

    @classmethod
    def lacks(cls, case):
        return "sinks" if case["sinks"] != "none" else ""

    def make_outputs(self):
        c = self.case
        return {"output": self.output_value(c["b"], c["h"], c["q_len"], c["d_v"])}

    def make_feeds(self):
        c = self.case
        mask = added(c, self.tensors, self.dtype)
        self.causal = mask is None and is_plain_causal(c) and "mask" not in self.tensors
        if mask is None and not self.causal:
            sees = hidden_or_seen(c, self.tensors)
            if sees is not None:
                shape = (sees.shape[0], 1, c["q_len"], c["kv_len"])
                mask = np.ascontiguousarray(np.broadcast_to(sees, shape))
        return {name: self.tensors[name] for name in "qkv"} | {"mask": mask}

    def attributes(self):
        c = self.case
        return {"scale": c["scale"], "softcap": c["softcap"], "is_causal": int(self.causal)}

    def result(self):
        return self.outputs["output"].numpy()


OPERATORS = {o.kernel: o for o in (MultiHeadAttention, GroupQueryAttention, Attention)}


def chosen(case):
    """The operator that has all of the case: the forced one, or the first."""
    asked = [OPERATORS[case["kernel"]]] if case["kernel"] else OPERATORS.values()
    lacking = []
    for operator in asked:
        lack = operator.lacks(case)
        if not lack:
            return operator
        lacking.append(f"{operator.name} has no {lack}")
    raise Unsupported("ONNX Runtime: " + "; ".join(lacking))


class OnnxRuntime(NumpyLibrary):
    name = "onnxruntime"
    version = onnxruntime.__version__
    compiler = "ONNX Runtime's wheel"
    flags = f"onnx {onnx.__version__}"
    computes = NumpyLibrary.computes + (
        "d_v window_left window_right softcap sinks alibi bias bias_shape".split()
    )
    kernels = dict.fromkeys(OPERATORS, "flash")
    threads = 1

    def set_up(self, backend, device, threads):
        self.threads = threads

    def layout(self, case):
        try:
            refuse(case)
            return chosen(case).layout
        except Unsupported:  # prepare() says it
            return "bhsd"

    def description(self, kind, kernel):
        return OPERATORS[kernel].name if kernel else "the first operator that has all of the case"

    def prepare(self, case, tensors):
        refuse(case)
        return chosen(case)(case, tensors, self.threads)


if __name__ == "__main__":
    sys.exit(peerlib.main(OnnxRuntime(), __doc__))
