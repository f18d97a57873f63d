#!/usr/bin/env python3
"""Dumps q, k, v of one attention call of a PyTorch model into a file that flashbench reads.

    pip install torch numpy safetensors
    scripts/dump_attention.py qkv.safetensors                            # a small built-in model
    scripts/dump_attention.py qkv.safetensors --causal --backward --with-output theirs.safetensors
    scripts/dump_attention.py qkv.safetensors --model my_module:make --call 3

`--model` names a function without arguments that returns (model, inputs): inputs is a tuple or a
dictionary for the model's forward. For a randomly initialised GPT-2, say:

    def make():
        from transformers import GPT2Config, GPT2LMHeadModel
        model = GPT2LMHeadModel(GPT2Config(attn_implementation="sdpa")).eval()
        return model, {"input_ids": torch.arange(512)[None]}

Calls with a soft cap (Gemma 2) or sinks (gpt-oss) are taken, too: transformers makes them without
that function, in its "eager" attention, the only one that such a model has. ALiBi is read off a
mask of floats (Falcon); Bloom and MPT add theirs where nobody else sees it. A mask that is none of
these, of floats or not, becomes a bias.

How it works: torch.nn.functional.scaled_dot_product_attention, through which PyTorch's own modules
and most libraries go, is replaced while the model runs. Inside another program:

    from dump_attention import capture, save
    with capture(call=3) as found:
        loss = model(x).loss
    loss.backward()          # optional: gives `do`
    save(found, "qkv.safetensors")

The script ends with the flashbench command that takes the file: whether attention was causal, its
window, its scale and its soft cap are flags there, not tensors; sinks, the slopes of ALiBi and a
bias are in the file. With --with-output, what PyTorch computes from the same tensors goes to a second file:
`flashbench check --input qkv.safetensors --external FILE`. In bf16 and f16 that fails in PyTorch's own
gradients on the CPU, as it should; `known_to_fail` says where and by how much.
"""

import argparse
import contextlib
import importlib
import os
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "common"))
from attn_mask import adds_something, alibi_of, band, bias_of, split_mask  # noqa: E402
from refused import Refused  # noqa: E402

_attention = F.scaled_dot_product_attention


def attention(query, key, value, softcap=None, sinks=None, **options):
    """PyTorch's attention; with a soft cap or sinks, which that lacks, in three calls."""
    if softcap is None and sinks is None:
        return _attention(query, key, value, **options)
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    scale, mask = options.get("scale"), options.get("attn_mask")
    if options.get("is_causal"):
        mask = band(query.shape[2], key.shape[2], None, 0).to(query.device)
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        is_bool = mask.dtype == torch.bool
        scores = scores.masked_fill(~mask, -torch.inf) if is_bool else scores + mask
    if sinks is not None:  # a column beside the keys' that has no value
        sinks = sinks[:, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, sinks], dim=-1)
    p = torch.softmax(scores, dim=-1, dtype=torch.float32)[..., : key.shape[2]]
    return p.to(value.dtype) @ value


class Call:
    """One call of scaled_dot_product_attention. q, k, v, o and do are [b, h, len, d]."""

    def __init__(self):
        self.seen = 0  # calls so far
        self.q = self.k = self.v = self.o = self.do = None
        self.keep = None  # padding mask [b, kv_len], None: everything is kept
        self.causal = False
        self.window_left = self.window_right = None  # keys that a query sees beside its own
        self.scale = None  # None: 1 / sqrt(d)
        self.softcap = None  # of scaled scores
        self.sinks = None  # [h], logits
        self.alibi = None  # [b, h], slopes
        self.bias = None  # [b or 1, h or 1, q_len, kv_len], -inf: hidden
        self.options = {}  # to call it again

    def record(self, q, k, v, o, options):
        if any(x.dim() != 4 for x in (q, k, v)):
            raise Refused(f"q has {q.dim()} axes; only [b, h, len, d] can be dumped")
        if options.get("dropout_p", 0.0) > 0:
            raise Refused("attention dropout is on; use model.eval() or a dropout of 0")
        self.q, self.k, self.v, self.o = (x.detach().clone() for x in (q, k, v, o))
        self.options = options
        self.scale, self.softcap = options.get("scale"), options.get("softcap")
        if options.get("sinks") is not None:
            self.sinks = options["sinks"].detach().float().clone()
        self.record_mask(options, q, k)
        if o.requires_grad:
            o.register_hook(self._set_do)

    def record_mask(self, options, q, k):
        """As flags and slopes where these say all of it, else as a bias."""
        mask, visible = options.get("attn_mask"), split_mask(options, q, k)
        if visible is not None:
            self.causal, self.window_left, self.window_right, self.keep = visible
            self.alibi = alibi_of(mask, q, k)
        if visible is None or (self.alibi is None and adds_something(mask)):
            self.bias = bias_of(mask, q, k)

    def _set_do(self, gradient):
        self.do = gradient.detach().clone()


@contextlib.contextmanager
def eager_attention_of_transformers(attend):
    """While it holds, calls with a soft cap or sinks, which models of transformers compute by
    themselves ('eager'), go to `attend` instead."""
    modeling = sys.modules.get("transformers.modeling_utils")
    functions = getattr(modeling, "ALL_ATTENTION_FUNCTIONS", None)
    get_interface = getattr(functions, "get_interface", None)
    if get_interface is None:
        yield
        return

    def wrapped(implementation, default):
        own = get_interface(implementation, default)

        def interface(module, query, key, value, attention_mask, softcap=None, s_aux=None, **more):
            if softcap is None and s_aux is None:
                return own(module, query, key, value, attention_mask, **more)
            causal = attention_mask is None and query.shape[2] > 1
            o = attend(
                query,
                key,
                value,
                attn_mask=attention_mask,
                dropout_p=more.get("dropout", 0.0),
                is_causal=causal and getattr(module, "is_causal", True),
                scale=more.get("scaling"),
                softcap=softcap,
                sinks=s_aux,
            )
            return o.transpose(1, 2).contiguous(), None

        return interface

    outer = vars(functions).get("get_interface")  # of a capture() around this one
    functions.get_interface = wrapped
    try:
        yield
    finally:
        if outer is None:
            del functions.get_interface
        else:
            functions.get_interface = outer


@contextlib.contextmanager
def capture(call=0):
    """Yields a Call that holds number `call` (from 0) of the attention calls made inside."""
    found = Call()

    def wrapper(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **more):
        options = dict(more, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal)
        o = attention(query, key, value, **options)
        if found.seen == call:
            found.record(query, key, value, o, options)
        found.seen += 1
        return o

    # Modules in eval mode may take a fused path that never calls the function.
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    F.scaled_dot_product_attention = wrapper
    try:
        with eager_attention_of_transformers(wrapper):
            yield found
    finally:
        F.scaled_dot_product_attention = _attention
        torch.backends.mha.set_fastpath_enabled(fast_path)
    if found.q is None:
        raise Refused(
            f"the model made {found.seen} calls of scaled_dot_product_attention; there is no "
            f"number {call} (with transformers, use attn_implementation='sdpa')"
        )


def write(tensors, path):
    """Through a temporary file: a half-written one never replaces a good one."""
    cpu = {name: x.detach().cpu().contiguous() for name, x in tensors.items() if x is not None}
    save_file(cpu, path + ".partial")
    os.replace(path + ".partial", path)


def save(found, path):
    """Writes q, k, v and, where the call had them, mask, sinks, slopes, bias and do."""
    tensors = {"q": found.q, "k": found.k, "v": found.v, "mask": found.keep, "do": found.do}
    write(dict(tensors, sinks=found.sinks, alibi_slopes=found.alibi, bias=found.bias), path)


def save_output(found, path):
    """Writes o and, with do, dq, dk, dv, dsinks and dbias as PyTorch computes them from the same
    tensors."""
    leaves = [found.q, found.k, found.v, found.sinks, found.bias]
    q, k, v, sinks, bias = (
        None if x is None else x.clone().requires_grad_(found.do is not None) for x in leaves
    )
    options = dict(found.options, sinks=sinks)
    if bias is not None:
        options["attn_mask"] = bias
    o = attention(q, k, v, **options)
    if found.do is not None:
        o.backward(found.do)
    dsinks, dbias = (None if x is None else x.grad for x in (sinks, bias))
    gradients = {"dq": q.grad, "dk": k.grad, "dv": v.grad, "dsinks": dsinks, "dbias": dbias}
    write(dict(gradients, o=o), path)


def demo(args):
    """A randomly initialised torch.nn.TransformerEncoder, and its input."""
    torch.manual_seed(args.seed)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[args.dtype]
    layer = torch.nn.TransformerEncoderLayer(
        args.d * args.h, args.h, 4 * args.d * args.h, dropout=0.0, batch_first=True, norm_first=True
    )
    model = torch.nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
    inputs = {"src": torch.randn(args.b, args.len, args.d * args.h, dtype=dtype)}
    if args.window is not None:
        sees = band(args.len, args.len, args.window, 0 if args.causal else args.window)
        inputs["mask"] = torch.zeros(sees.shape, dtype=dtype).masked_fill(~sees, float("-inf"))
    elif args.causal:
        inputs["mask"] = torch.nn.Transformer.generate_square_subsequent_mask(args.len, dtype=dtype)
        inputs["is_causal"] = True
    if args.padding:  # sequences of different lengths, padded at the end; True = padded
        lengths = torch.linspace(args.len, args.len / 2, args.b).long()
        padded = torch.arange(args.len)[None, :] >= lengths[:, None]
        bias = torch.zeros(padded.shape, dtype=dtype).masked_fill(padded, float("-inf"))
        inputs["src_key_padding_mask"] = bias
    return model.to(dtype), inputs


def from_user(name):
    module, _, function = name.partition(":")
    if not function:
        raise Refused(f"--model {name}: write it as module:function")
    sys.path.insert(0, os.getcwd())
    return getattr(importlib.import_module(module), function)()


def tensors_of(output):
    """Every floating-point tensor of a model's output, however nested."""
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() else []
    values = output.values() if hasattr(output, "values") else output
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        return []
    return [x for value in values for x in tensors_of(value)]


def run(model, inputs, args):
    with torch.set_grad_enabled(args.backward), capture(args.call) as found:
        output = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    if args.backward:  # any loss does; this one gives gradients of every size
        sum(x.float().square().sum() for x in tensors_of(output) if x.requires_grad).backward()
        if found.do is None:
            raise Refused("no gradient reached that attention call")
    return found


def flags(found):
    text = " --causal" if found.causal else ""
    for side in ("window_left", "window_right"):
        if getattr(found, side) is not None:
            text += f" --{side} {getattr(found, side)}"
    if found.scale is not None and found.scale != found.q.shape[-1] ** -0.5:
        text += f" --scale {found.scale!r}"
    if found.softcap is not None:
        text += f" --softcap {found.softcap!r}"
    return text


def known_to_fail(found):
    """What is known of the check of PyTorch's own gradients; "" where it passes."""
    if found.do is None or found.q.element_size() > 2 or found.q.device.type != "cpu":
        return ""
    return (
        "note: PyTorch's own gradients of 16 bits are known to fail that check on the CPU from some "
        "100 queries on: dV at 2.2x to 3.3x of the expected rounding (limit 2x), such as got "
        "-2.234375, expected -2.20979065. O, dQ and dK pass. More than that is a mistake somewhere."
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="the .safetensors file to write")
    parser.add_argument("--model", help="module:function that returns (model, inputs)")
    parser.add_argument("--call", type=int, default=0, help="which attention call, from 0")
    parser.add_argument("--backward", action="store_true", help="also dump dO, from sum(output²)")
    parser.add_argument("--with-output", metavar="FILE", help="also write PyTorch's own results")
    built_in = parser.add_argument_group("the built-in model")
    built_in.add_argument("--b", type=int, default=2)
    built_in.add_argument("--h", type=int, default=4)
    built_in.add_argument("--len", type=int, default=256)
    built_in.add_argument("--d", type=int, default=64, help="head dimension")
    built_in.add_argument("--dtype", choices=("f32", "bf16", "f16"), default="f32")
    built_in.add_argument("--causal", action="store_true")
    built_in.add_argument(
        "--window", type=int, help="keys that a query sees on its left, and right unless --causal"
    )
    built_in.add_argument("--padding", action="store_true", help="a padding mask")
    built_in.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        model, inputs = from_user(args.model) if args.model else demo(args)
        found = run(model, inputs, args)
        save(found, args.file)
        if args.with_output:
            save_output(found, args.with_output)
    except Refused as why:
        sys.exit(f"{parser.prog}: {why}")
    q, k, v = (list(x.shape) for x in (found.q, found.k, found.v))
    print(f"{args.file}: q {q}, k {k}, v {v}, {found.q.dtype}")
    if args.with_output:
        print(f"flashbench check --input {args.file}{flags(found)} --external {args.with_output}")
        if note := known_to_fail(found):
            print(note, file=sys.stderr)
    else:
        print(f"flashbench forward --input {args.file}{flags(found)}")


if __name__ == "__main__":
    main()
