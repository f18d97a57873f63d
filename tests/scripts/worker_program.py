"""What flashbench is to a worker: packets over its socket, tensors in memory that both map."""

import json
import math
import mmap
import os
import socket
import subprocess

ALIGNMENT = 256
ELEMENT_BYTES = {"f32": 4, "bf16": 2, "f16": 2, "e4m3": 1, "u8": 1, "i32": 4}


def placed(tensors, layout="bhsd"):
    """A message's `inputs` or `outputs`, of {name: (dtype, shape)}. As in the program, something is left free in front
    of each tensor and behind the last."""
    places, offset = [], ALIGNMENT
    for name, (dtype, shape) in tensors.items():
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        if layout == "bshd" and len(shape) == 4:
            _, h, rows, d = shape
            strides = [h * rows * d, d, h * d, 1]
        size = math.prod(shape) * ELEMENT_BYTES[dtype]
        places.append(
            {"name": name, "dtype": dtype, "shape": shape, "strides": strides, "offset": offset, "bytes": size}
        )
        offset += -(-size // ALIGNMENT) * ALIGNMENT + ALIGNMENT
    return {"bytes": offset, "tensors": places}


class Memory:
    """A region, all of it 0xFF; tensors of it are ranges of bytes."""

    def __init__(self, message):
        self.places = {t["name"]: t for t in message["tensors"]}
        self.descriptor = os.memfd_create("region")
        os.ftruncate(self.descriptor, message["bytes"])
        self.bytes = mmap.mmap(self.descriptor, message["bytes"])
        self.bytes[:] = b"\xff" * message["bytes"]

    def range(self, name):
        place = self.places[name]
        return slice(place["offset"], place["offset"] + place["bytes"])

    def between(self):
        """What belongs to no tensor."""
        rest, at = b"", 0
        for name in self.places:
            rest += self.bytes[at : self.range(name).start]
            at = self.range(name).stop
        return rest + self.bytes[at:]


class Worker:
    """One that was started, as the program asks it."""

    def __init__(self, command, folder, **environment):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket = mine
        self.socket.settimeout(120)
        environment |= {"FLASHBENCH_WORKER_SOCKET": str(theirs.fileno()), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=os.environ | environment, cwd=folder, stdout=subprocess.DEVNULL
        )
        theirs.close()
        self.hello = json.loads(self.socket.recv(1 << 20))
        self.plans = 0

    def request(self, descriptors=(), **message):
        packet = json.dumps(message).encode()
        socket.send_fds(self.socket, [packet], list(descriptors))
        return json.loads(self.socket.recv(1 << 20))

    def close(self):
        self.socket.close()
        self.process.wait(30)

    def plan(self, problem, inputs, outputs, layout="bhsd"):
        return Plan(self, problem, placed(inputs, layout), placed(outputs, layout))


class Plan:
    """A problem: `inputs` and `outputs` are the program's memory. `answer`: to the plan itself."""

    def __init__(self, worker, problem, inputs, outputs):
        worker.plans += 1
        self.worker, self.number = worker, worker.plans
        self.inputs, self.outputs = Memory(inputs), Memory(outputs)
        self.places = inputs, outputs
        self.problem = problem
        self.answer = None

    def make(self):
        """After what is there from the beginning was written."""
        inputs, outputs = self.places
        both = [self.inputs.descriptor, self.outputs.descriptor]
        message = {"kernel": 0, "problem": self.problem, "inputs": inputs, "outputs": outputs}
        self.answer = self.ask("plan", both, **message)
        return self

    def ask(self, op, descriptors=(), **more):
        which = {"plans": [self.number]} if op == "run" else {"plan": self.number}
        return self.worker.request(descriptors, op=op, **which, **more)

    def give(self, *inputs, outputs=()):
        return self.ask("give", inputs=list(inputs), outputs=list(outputs))


def problem(shape, which="forward", features=(), device="cuda:0", dtype="f32", **more):
    """`shape`: b, h, h_kv, q_len, kv_len, d."""
    names = ("b", "h", "h_kv", "q_len", "kv_len", "d")
    return dict(zip(names, shape)) | {
        "pass": which,
        "features": [*features, *(["gpu"] if device != "cpu" else [])],
        "threads": 1,
        "device": device,
        "dtype": dtype,
        "kv_dtype": dtype,
        "bias_dtype": "f32",
        "d_v": shape[-1],
        "window_left": -1,
        "window_right": -1,
        "page_size": 0,
        "bias_b": 1,
        "bias_h": 1,
        "scale": 0.25,
        "softcap": 0.0,
    } | more
