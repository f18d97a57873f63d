"""The tensors of a plan: those in memory that flashbench maps, too, or copies of them on a GPU."""

import time

from flashbench.arrays import Failed, mapped

LEAD_CYCLES = 200_000  # of a GPU at 2 GHz: some 100 us
WAIT_S, WAIT_SHARE = 3e-4, 0.1  # what waiting for nothing may take
PIECE_BYTES = 1 << 28


def operands(arrays, message, descriptors):
    """Where the problem has them."""
    device = message["problem"]["device"]
    if device == "cpu":
        return Shared(arrays, message, descriptors)
    return OnDevice(arrays, message, descriptors, device)


class Shared:
    """In memory that the program maps, too: `given` and `wanted`, by name."""

    def __init__(self, arrays, message, descriptors):
        self.arrays = arrays
        self.given, self.wanted = (
            {t["name"]: arrays.view(memory, t) for t in message[side]["tensors"]}
            for side, memory in zip(("inputs", "outputs"), mapped(message, descriptors))
        )

    def timed(self, work):
        """Seconds that it takes."""
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def store(self, results):
        """Results by name; those that are None are not there."""
        for name, result in results.items():
            if result is None:
                continue
            try:
                self.arrays.store(self.wanted[name], result)
            except (TypeError, ValueError) as error:
                raise Failed(f"{name}: {error}") from None


class OnDevice(Shared):
    """PyTorch's on a GPU. What the program's memory has comes and goes when it is asked for."""

    def __init__(self, arrays, message, descriptors, device):
        self.arrays, self.torch = arrays, arrays.torch
        self.torch.cuda.set_device(device)
        regions = [
            Region(arrays, message[side], memory, device)
            for side, memory in zip(("inputs", "outputs"), mapped(message, descriptors))
        ]
        self.inputs, self.outputs = regions
        self.given, self.wanted = ({name: r.tensor(name) for name in r.places} for r in regions)

    def timed(self, work):
        return device_seconds(self.torch, work)

    def give(self, inputs, outputs):
        """These tensors become what the program's memory has."""
        for region, names in ((self.inputs, inputs), (self.outputs, outputs)):
            for name in names:
                region.give(name)

    def collect(self):
        """The program's memory gets the outputs, when all is done."""
        self.torch.cuda.synchronize()
        self.outputs.host.copy_(self.outputs.there)
        for name in self.inputs.places:
            if self.inputs.differs(name):
                raise Failed(f"it wrote to its input {name}")


class Region:
    """Tensors on a device, where those of the program's memory lie in that."""

    def __init__(self, arrays, placed, memory, device):
        torch, self.dtypes = arrays.torch, arrays.torch_dtypes
        self.places = {t["name"]: t for t in placed["tensors"]}
        self.host = torch.frombuffer(memory, dtype=torch.uint8)
        self.there = torch.empty(placed["bytes"], dtype=torch.uint8, device=device)
        self.there.copy_(self.host)
        self.equal = torch.equal

    def bytes_of(self, name):
        """(there, in the program's memory)"""
        begin = self.places[name]["offset"]
        end = begin + self.places[name]["bytes"]
        return self.there[begin:end], self.host[begin:end]

    def tensor(self, name):
        """`.data`: autograd keeps no count of what is written through the region, as it keeps none of what the program
        writes into shared memory; a graph of the forward would refuse its backward pass."""
        place = self.places[name]
        flat = self.bytes_of(name)[0].view(self.dtypes[place["dtype"]])
        return flat.as_strided(place["shape"], place["strides"]).data

    def give(self, name):
        there, host = self.bytes_of(name)
        there.copy_(host)

    def differs(self, name):
        pieces = (x.split(PIECE_BYTES) for x in self.bytes_of(name))
        return any(not self.equal(there, host.to(there.device)) for there, host in zip(*pieces))


def device_seconds(torch, work):
    """By the clock of the current device, on which it was queued. Until the first call is queued the device has
    something to do, so that what the processor needs for that is not in it."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(LEAD_CYCLES)
    start.record()
    work()
    end.record()
    end.synchronize()
    seconds = 1e-3 * start.elapsed_time(end)
    waited = time.perf_counter()
    torch.cuda.synchronize()
    if time.perf_counter() - waited > WAIT_S + WAIT_SHARE * seconds:
        raise Failed("the GPU works on after the current stream is done: work on other streams has to be joined into it")
    return seconds
