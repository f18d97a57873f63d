"""Workers whose tensors are on a GPU: what comes and goes between its memory and the program's. The GPU is the
processor here (cuda_stand_in.py), the program is this test."""

import sys
import unittest

from harness import ROOT, ScriptTest, missing

import worker_program

TORCH = not missing("torch")
if TORCH:
    import torch
    import torch.nn.functional as F

SHAPE = (2, 4, 2, 24, 24, 16)  # b, h, h_kv, q_len, kv_len, d
SCALE = 0.25
MINE = """
import torch
import torch.nn.functional as F

def right(q, k, v, *, causal, scale):
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale, enable_gqa=True)

def of_tokens(q, k, v, *, causal, scale):
    assert q.swapaxes(1, 2).is_contiguous() and not q.is_contiguous()
    return right(q, k, v, causal=causal, scale=scale)
of_tokens.layout = "bshd"

def writes(q, k, v, *, causal, scale):
    o = right(q, k, v, causal=causal, scale=scale)
    k[0, 0, 0, 0] = 7
    return o

def beyond_memory(q, k, v, *, causal, scale):
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

def crashes(q, k, v, *, causal, scale):
    raise torch.cuda.Lost

def mistaken(q, k, v, *, causal, scale):
    raise KeyError("tile 7")

def on_its_own_stream(q, k, v, *, causal, scale):
    torch.cuda.stand_in.left_s = 0.2
    return right(q, k, v, causal=causal, scale=scale)

def elsewhere(q, k, v, *, causal, scale):
    return torch.empty_like(q, device="meta")

def of_eight_bits(q, k, v, *, causal, scale, k_scale, v_scale):
    assert k.dtype == torch.float8_e4m3fn and k_scale.shape == (2, 2)
    k, v = (x.float() * s[..., None, None] for x, s in ((k, k_scale), (v, v_scale)))
    return right(q, k.to(q.dtype), v.to(q.dtype), causal=causal, scale=scale)
"""


class DeviceTest(ScriptTest):
    def setUp(self):
        super().setUp()
        self.log = self.folder / "log"
        self.log.touch()
        (self.folder / "mine.py").write_text(MINE)

    def start(self, script, *words, **environment):
        stand_in = [str(ROOT / "tests/scripts/cuda_stand_in.py"), str(self.log)]
        worker = worker_program.Worker([sys.executable, "-B", *stand_in, str(ROOT / script), *words], self.folder, **environment)
        self.addCleanup(worker.close)
        self.assertIn("kernels", worker.hello)
        return worker

    def function(self, name, **environment):
        return self.start("scripts/flashbench/worker.py", f"mine.py:{name}", **environment)

    def calls(self):
        return self.log.read_text().splitlines()

    def ok(self, answer):
        self.assertEqual(answer["status"], "ok", answer)
        return answer


def put(memory, name, tensor):
    """Into the program's memory, in the order of that."""
    place = memory.places[name]
    order = sorted(range(tensor.dim()), key=lambda i: -place["strides"][i])
    memory.bytes[memory.range(name)] = bytes(tensor.permute(order).contiguous().flatten().view(torch.uint8).numpy())


def got(memory, name, dtype=None):
    place = memory.places[name]
    flat = torch.frombuffer(bytearray(memory.bytes[memory.range(name)]), dtype=dtype or torch.float32)
    return flat.as_strided(place["shape"], place["strides"])


def operands(which="forward", shape=SHAPE, dtype="f32"):
    b, h, h_kv, n, m, d = shape
    inputs = {"q": (dtype, [b, h, n, d]), "k": (dtype, [b, h_kv, m, d]), "v": (dtype, [b, h_kv, m, d])}
    outputs = {"o": (dtype, [b, h, n, d]), "lse": ("f32", [b, h, n])}
    if which != "forward":
        outputs |= {f"d{name}": inputs[name] for name in "qkv"}
        inputs["do"] = outputs["o"]
    return inputs, outputs


def numbers(seed, inputs, names="qkv"):
    torch.manual_seed(seed)
    dtypes = {"f32": torch.float32, "bf16": torch.bfloat16, "e4m3": torch.float8_e4m3fn}
    return {name: torch.randn(inputs[name][1]).to(dtypes[inputs[name][0]]) for name in names}


def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, scale=SCALE, enable_gqa=True)


def with_gradients(of, do):
    leaves = [of[name].clone().requires_grad_() for name in "qkv"]
    return dict(zip(("dq", "dk", "dv"), torch.autograd.grad(attention(*leaves), leaves, do)))


@unittest.skipUnless(TORCH, "needs PyTorch")
class Functions(DeviceTest):
    def planned(self, name, which="forward", layout="bhsd", worker=None):
        plan = (worker or self.function(name)).plan(worker_program.problem(SHAPE, which), *operands(which), layout)
        self.ok(plan.make().answer)
        return plan

    def give(self, plan, seed, names="qkv"):
        of = numbers(seed, operands("both")[0], names)
        for name, tensor in of.items():
            put(plan.inputs, name, tensor)
        self.ok(plan.give(*names, outputs=["o"]))
        return of

    def same(self, plan, name, expected):
        torch.testing.assert_close(got(plan.outputs, name), expected, msg=lambda text: f"{name}: {text}")

    def test_results_come_when_they_are_collected_and_nothing_else_is_touched(self):
        for name, layout in (("right", "bhsd"), ("of_tokens", "bshd")):
            plan = self.planned(name, layout=layout)
            of = self.give(plan, 1)
            self.assertGreater(self.ok(plan.ask("run", calls=3))["seconds"], 0)
            self.assertTrue(got(plan.outputs, "o").isnan().all(), "not yet")
            self.ok(plan.ask("collect"))
            self.same(plan, "o", attention(*of.values()))
            self.assertEqual(set(plan.outputs.between()), {0xFF})

    # It would compute the numbers of one call and be judged by those of another.
    def test_inputs_are_those_that_were_given_last(self):
        plan = self.planned("right")
        self.give(plan, 1)
        of = self.give(plan, 2)
        self.ok(plan.ask("run", calls=1))
        self.ok(plan.ask("collect"))
        self.same(plan, "o", attention(*of.values()))

    # Results of an earlier call would stand for those that a function did not write.
    def test_poison_reaches_the_device(self):
        plan = self.planned("right")
        self.give(plan, 1)
        self.ok(plan.ask("run", calls=1))
        self.ok(plan.give(outputs=["o"]))
        self.ok(plan.ask("collect"))
        self.assertTrue(got(plan.outputs, "o").isnan().all())

    # Autograd counts what is written in place, and would refuse the second backward pass, or differentiate the first.
    def test_gradients_are_those_of_the_inputs_that_were_given_last(self):
        plan = self.planned("right", "backward")
        for seed in (1, 2):
            of = self.give(plan, seed)
            self.assertEqual(plan.give("do")["status"], "ok")  # what is there is no number yet
            self.assertFalse(self.ok(plan.ask("prepare"))["writes_lse"])
            for again in (3, 4):
                do = self.give(plan, 10 * seed + again, ["do"])["do"]
                self.ok(plan.ask("run", calls=2))
            self.ok(plan.ask("collect"))
            for name, expected in with_gradients(of, do).items():
                self.same(plan, name, expected)

    def test_both_passes_in_one_call(self):
        plan = self.planned("right", "both")
        for seed in (1, 2):
            of = self.give(plan, seed, [*"qkv", "do"])
            self.ok(plan.ask("run", calls=2))
            self.ok(plan.ask("collect"))
            for name, expected in with_gradients(of, of["do"]).items():
                self.same(plan, name, expected)

    def test_who_writes_its_inputs_fails(self):
        plan = self.planned("writes")
        self.give(plan, 1)
        self.ok(plan.ask("run", calls=1))
        self.assertEqual(plan.ask("collect"), {"status": "failed", "why": "it wrote to its input k"})

    # The function's first call would be as long as the processor needs to queue it.
    def test_the_device_is_busy_until_calls_are_queued(self):
        plan = self.planned("right", worker=self.function("right", STAND_IN_LEAD_S="0.2"))
        self.give(plan, 1)
        answer = self.ok(plan.ask("run", calls=2))
        calls = self.calls()
        self.assertRegex(calls[calls.index("record") - 1], r"^sleep \d{6}$")
        self.assertLess(answer["seconds"], 0.1, "the stand-in is busy for twice as long")

    def test_plans_take_turns_and_their_memory_goes_back(self):
        worker = self.function("right")
        plans = [self.planned("right", worker=worker) for _ in range(2)]
        each = [self.give(plan, seed) for seed, plan in enumerate(plans)]
        self.ok(worker.request(op="run", plans=[1, 2], calls=3))
        for plan, of in zip(plans, each):
            self.ok(plan.ask("collect"))
            self.same(plan, "o", attention(*of.values()))
            self.assertNotIn("empty", self.calls())
        self.ok(plans[0].ask("drop"))
        self.assertIn("empty", self.calls())

    def test_what_goes_wrong_is_told_by_its_kind(self):
        for name, status, why in (
            ("beyond_memory", "no_memory", "CUDA out of memory"),
            ("crashes", "device_error", "an illegal memory access"),
            ("mistaken", "failed", r"KeyError: 'tile 7' \(mine.py:\d+\)"),
            ("on_its_own_stream", "failed", "the GPU works on after the current stream is done"),
            ("elsewhere", "failed", "o: it is on meta where cpu is wanted"),
        ):
            with self.subTest(name):
                plan = self.planned(name)
                self.give(plan, 1)
                answer = plan.ask("run", calls=1)
                self.assertEqual(answer["status"], status)
                self.assertRegex(answer["why"], why)

    # Each of these is bytes of one region, seen as another type.
    def test_numbers_of_eight_and_sixteen_bits(self):
        b, h, h_kv, n, m, d = SHAPE
        inputs, outputs = operands(dtype="bf16")
        inputs |= {name: ("e4m3", [b, h_kv, m, d]) for name in "kv"}
        inputs |= {f"{name}_scale": ("f32", [b, h_kv]) for name in "kv"}
        asked = worker_program.problem(SHAPE, dtype="bf16", features=["kv_dtype"], kv_dtype="e4m3")
        plan = self.function("of_eight_bits").plan(asked, inputs, outputs)
        scales = {f"{name}_scale": torch.rand(b, h_kv) + 0.5 for name in "kv"}
        for name, tensor in scales.items():
            put(plan.inputs, name, tensor)
        self.ok(plan.make().answer)
        of = numbers(1, inputs)
        for name, tensor in of.items():
            put(plan.inputs, name, tensor)
        self.ok(plan.give(*"qkv"))
        self.ok(plan.ask("run", calls=1))
        self.ok(plan.ask("collect"))
        k, v = (of[name].float() * scales[f"{name}_scale"][..., None, None] for name in "kv")
        expected = attention(of["q"], k.bfloat16(), v.bfloat16())
        torch.testing.assert_close(got(plan.outputs, "o", torch.bfloat16), expected)


@unittest.skipUnless(TORCH and not missing("safetensors"), "needs PyTorch and safetensors")
class Peer(DeviceTest):
    def planned(self, which, *words):
        worker = self.start("scripts/peer/peer_pytorch.py", *words)
        plan = worker.plan(worker_program.problem(SHAPE, which), *operands(which))
        self.ok(plan.make().answer)
        self.assertIn("device 0", self.calls())
        return plan

    def give(self, plan, seed, names="qkv"):
        of = numbers(seed, operands("both")[0], names)
        for name, tensor in of.items():
            put(plan.inputs, name, tensor)
        self.ok(plan.give(*names))
        return of

    def test_forward(self):
        for words in ([], ["--type", "normal"]):
            plan = self.planned("forward", *words)
            for seed in (1, 2):
                of = self.give(plan, seed)
                self.assertFalse(self.ok(plan.ask("run", calls=2))["writes_lse"])
                self.ok(plan.ask("collect"))
                torch.testing.assert_close(got(plan.outputs, "o"), attention(*of.values()))

    # A processor takes minutes to judge gradients without it; it is none of what is timed.
    def test_gradients_come_with_the_log_sum_exp_once_they_are_collected(self):
        plan = self.planned("backward")
        for seed in (1, 2):
            of = self.give(plan, seed)
            self.ok(plan.ask("prepare"))
            do = self.give(plan, 10 + seed, ["do"])["do"]
            self.assertTrue(self.ok(plan.ask("run", calls=2))["writes_lse"])
            self.ok(plan.ask("collect"))
            for name, expected in with_gradients(of, do).items():
                torch.testing.assert_close(got(plan.outputs, name), expected)
            scores = SCALE * of["q"] @ of["k"].repeat_interleave(2, dim=1).mT
            torch.testing.assert_close(got(plan.outputs, "lse"), torch.logsumexp(scores, -1))

    def test_a_kernel_that_cannot_is_skipped_in_its_words(self):
        plan = self.planned("forward", "--kernel", "sdpa_cudnn")
        self.give(plan, 1)
        answer = plan.ask("run", calls=1)
        self.assertEqual(answer["status"], "unsupported", answer)
        self.assertIn("no sdpa_cudnn for this case", answer["why"])


class Refused(ScriptTest):
    """No GPU, and nothing that stands for one."""

    def refused(self, script, *words, says):
        worker = worker_program.Worker([sys.executable, "-B", str(ROOT / script), *words], self.folder)
        self.addCleanup(worker.close)
        answer = worker.request(op="ask", kernel=0, problem=worker_program.problem(SHAPE))
        self.assertEqual(answer["status"], "unsupported", answer)
        self.assertRegex(answer["why"], says)

    @unittest.skipIf(missing("numpy"), "needs NumPy")
    def test_functions_of_numpy(self):
        (self.folder / "mine.py").write_text("def f(q, k, v, *, causal, scale): pass\n")
        self.refused("scripts/flashbench/worker.py", "mine.py:f", says="NumPy computes on the processor: --as torch for")

    @unittest.skipIf(missing("torch", "safetensors") or torch.cuda.is_available(), "needs PyTorch and no GPU")
    def test_a_pytorch_that_sees_no_gpu(self):
        (self.folder / "mine.py").write_text(MINE)
        self.refused("scripts/flashbench/worker.py", "mine.py:right", says="sees no CUDA devices here, and no cuda:0")
        self.refused("scripts/peer/peer_pytorch.py", says="pytorch [0-9.]+.* here has no GPU to compute on")

    @unittest.skipIf(missing("openvino", "safetensors"), "needs OpenVINO")
    def test_libraries_of_the_processor(self):
        self.refused("scripts/peer/peer_openvino.py", says="openvino .* here has no GPU to compute on")


if __name__ == "__main__":
    unittest.main()
