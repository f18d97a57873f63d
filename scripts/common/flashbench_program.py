"""flashbench as the scripts call it: it expands flags, writes inputs, judges, reads peaks."""

import json
import os
import shlex

import fields
from commands import answer
from refused import Refused

# For what computes no attention: a GPU takes half a second to open, and its memory.
NOWHERE = ("--backend", "cpu")


class Flashbench:
    """The program that poses the problems and judges the answers."""

    def __init__(self, path):
        self.path = path

    def run(self, *arguments, codes=(0,), timeout_s=None):
        """The JSON that it writes if its exit code is one of `codes`. Its refusals become ours, and
        NoAnswer that it took longer."""
        command = [self.path, *arguments, "--json", "-"]
        try:
            code, out, err = answer(command, timeout_s)
        except OSError as error:
            raise Refused(
                f"{self.path}: {error.strerror}; "
                "build it with scripts/bench, or name it with --flashbench"
            ) from error
        if code not in codes or not out:
            lines = err.strip().splitlines() or [f"exit code {code}"]
            raise Refused(f"{' '.join(command[:2])}: {lines[-1].removeprefix('flashbench: ')}")
        return json.loads(out)

    def cases(self, flags):
        """One unmeasured result for each case that the flags of `bench` name."""
        return self.run("bench", *flags, "--dry_run")["results"]

    def problems(self, flags):
        """The same, whether or not this machine has the memory for them."""
        return self.run("bench", *flags, *NOWHERE, "--dry_run", codes=(0, 3))["results"]

    def pose(self, flags, backward, path):
        """Writes the inputs to `path`; the report of that one launch, which counts its work."""
        command = "backward" if backward else "forward"
        return self.run(command, *flags, "--verify", "none", "--save_inputs", path)

    def judge(self, inputs, outputs, workload, level):
        """The `check` of a result, and the reason if it is wrong."""
        flags = ["--input", inputs, "--external", outputs, "--verify", level, *NOWHERE]
        flags += ["--scale", repr(workload["scale"])]
        if workload["causal"]:
            flags.append("--causal")
        for side in ("window_left", "window_right"):
            if workload.get(side) is not None:
                flags += [f"--{side}", str(workload[side])]
        if workload.get("v_in_k"):
            flags += ["--v_in_k", "--d_v", str(workload["d_v"] or workload["d"])]
        if workload.get("softcap"):
            flags += ["--softcap", repr(workload["softcap"])]
        for tensor in ("sinks", "alibi", "bias"):  # which lie in the file, whatever they were made of
            asked = workload.get(tensor, "none") != "none"
            flags += [f"--{tensor}", inputs if asked else "none"]
        if workload.get("bias_grad"):  # and a result without it is refused
            flags.append("--bias_grad")
        (result,) = self.run("check", *flags, codes=(0, 1))["results"]
        return result["check"], result["reason"]

    def peaks(self, isa, threads):
        flags = ["--isa", isa] if isa else []
        return self.run("info", *flags, "--threads", str(threads))["peaks"]


def problem_flags(case):
    """The workload flags of a case, without what only says how flashbench computes it."""
    words = shlex.split(case["command"])[2:]
    skip = [f"--{f.flag}" for f in fields.FIELDS if f.of == "execution" and not f.is_switch]
    flags = []
    for i, word in enumerate(words):
        if word not in skip and (i == 0 or words[i - 1] not in skip):
            flags.append(word)
    return flags


def own_work(result, wanted, inputs):
    """Work of both passes, as counted for the launch that wrote `inputs`, cut to one."""
    if result["pass"] != "both" or wanted == "both":
        return
    workload = result["workload"]
    bytes_of_row = workload["d"] * (4 if workload["dtype"] == "f32" else 2)
    once = 4 * bytes_of(inputs, "q") // bytes_of_row  # LSE: once a pass
    if workload.get("alibi", "none") != "none":  # slopes, too
        once += 4 * workload["b"] * workload["h"]
    gradient = 0
    if workload.get("bias", "none") != "none":  # and what visible pairs have of a bias
        bias = bytes_of(inputs, "bias")
        once += bias * result["flop_visible"] / result["flop_dense"]
        gradient = bias if workload["bias_grad"] else 0
    d, d_v = workload["d"], workload["d_v"]
    forward, backward = 2 * d + 2 * d_v, 6 * d + 4 * d_v
    share = {"forward": forward, "backward": backward}[wanted] / (forward + backward)
    result["flop_dense"] *= share
    result["flop_visible"] *= share
    # 6 operands' worth (sinks: 3), twice what is read once a pass, and the bias's gradient; the
    # backward has 4 (2), once, and that gradient.
    thirds = result["bytes"] - gradient
    if wanted == "backward":
        result["bytes"] = round((2 * thirds - once) / 3 + gradient)
    else:
        result["bytes"] = round((thirds + once) / 3)


def bytes_of(path, tensor):
    """Bytes of one tensor in a .safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    begin, end = header[tensor]["data_offsets"]
    return end - begin


def tensor_bytes(path):
    """Bytes of the tensors in a .safetensors file."""
    with open(path, "rb") as file:
        return os.path.getsize(path) - 8 - int.from_bytes(file.read(8), "little")
