"""What a model's attention call holds is dumped as it is, and judged right only with its flags."""

import shlex
import subprocess
import textwrap
import unittest

from harness import PROGRAM, ScriptTest, missing, require

require("torch", "numpy", "safetensors")

GEMMA = """
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM
def make():
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=500, hidden_size=256, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, sliding_window=32,
        attn_logit_softcapping=0.5, query_pre_attn_scalar=1)
    return Gemma2ForCausalLM(config).eval(), {"input_ids": torch.randint(0, 500, (2, 150))}
"""


GPT_OSS = """
import torch
from transformers import GptOssConfig, GptOssForCausalLM
def make():
    torch.manual_seed(0)
    config = GptOssConfig(
        vocab_size=500, hidden_size=128, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, sliding_window=32,
        num_local_experts=2, num_experts_per_tok=1)
    model = GptOssForCausalLM(config).eval()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.sinks.normal_(mean=3)
    return model, {"input_ids": torch.randint(0, 500, (2, 150))}
"""

# What T5, Swin and others learn: a number for each head and distance. `dotted` hides pairs that no
# flag hides.
BIASED = """
import torch
class Attention(torch.nn.Module):
    def forward(self, x, bias):
        x = 2 * x
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=bias)
def inputs():
    torch.manual_seed(0)
    return torch.randn(2, 2, 20, 16, requires_grad=True), torch.randn(2, 20, 20)
def make():
    return Attention(), inputs()
def causal():
    x, bias = inputs()
    hidden = torch.ones(20, 20, dtype=torch.bool).triu(1)
    return Attention(), (x, bias.masked_fill(hidden, torch.finfo(bias.dtype).min))
def dotted():
    x, bias = inputs()
    return Attention(), (x, bias[:1] < 0.5)
"""

# Of those that know ALiBi the one that hands it to PyTorch's function.
FALCON = """
import torch
from transformers import FalconConfig, FalconForCausalLM
def make():
    torch.manual_seed(0)
    config = FalconConfig(
        vocab_size=500, hidden_size=192, num_hidden_layers=1, num_attention_heads=6, alibi=True,
        multi_query=False, attn_implementation="sdpa")
    return FalconForCausalLM(config).eval(), {"input_ids": torch.randint(0, 500, (2, 150))}
"""


class DumpAttention(ScriptTest):
    def dump(self, *args, passes=("--backward",)):
        """The flashbench command that the script ends with, as words."""
        files = ["qkv.safetensors", "--with-output", "o.safetensors"]
        done = self.run_script("dump_attention.py", *files, *passes, *args)
        words = shlex.split(done.stdout.splitlines()[-1])
        self.assertEqual(words[:2], ["flashbench", "check"])
        return words[2:]

    def check(self, words):
        command = [PROGRAM, "check", *words, "--quiet", "--json", "-"]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.folder).returncode

    def judged(self, words, *needed):
        """Right with all flags; wrong without any of those that are needed."""
        self.assertEqual(self.check(words), 0, words)
        for flag in needed:
            at = words.index(flag)
            end = at + (1 if flag == "--causal" else 2)
            self.assertEqual(self.check(words[:at] + words[end:]), 1, f"without {flag}")

    def test_masks_of_the_built_in_model(self):
        self.judged(self.dump())
        self.judged(self.dump("--causal"), "--causal")
        self.judged(self.dump("--causal", "--padding"), "--causal")
        self.judged(self.dump("--causal", "--window", "40"), "--causal", "--window_left")
        self.judged(self.dump("--window", "40"), "--window_left", "--window_right")

    def test_gradients_of_16_bits_come_with_what_is_known_of_them(self):
        files = ["qkv.safetensors", "--with-output", "o.safetensors", "--len", "20"]
        for flags, known in ((["--dtype", "bf16", "--backward"], True), (["--dtype", "bf16"], False),
                             (["--backward"], False)):
            done = self.run_script("dump_attention.py", *files, *flags)
            self.assertEqual("known to fail" in done.stderr, known, flags)
            self.assertTrue(done.stdout.splitlines()[-1].startswith("flashbench check "))

    @unittest.skipIf(missing("transformers"), "transformers is missing")
    def test_soft_cap_window_and_scale_of_gemma_2(self):
        (self.folder / "gemma.py").write_text(textwrap.dedent(GEMMA))
        local = self.dump("--model", "gemma:make", "--call", "0")
        self.assertEqual(local[local.index("--window_left") + 1], "31")
        self.judged(local, "--window_left", "--softcap", "--scale")
        full = self.dump("--model", "gemma:make", "--call", "1")
        self.assertNotIn("--window_left", full)
        self.judged(full, "--causal", "--softcap", "--scale")

    @unittest.skipIf(missing("transformers"), "transformers is missing")
    def test_sinks_and_window_of_gpt_oss(self):
        (self.folder / "oss.py").write_text(textwrap.dedent(GPT_OSS))
        local = self.dump("--model", "oss:make", "--call", "0")
        self.assertEqual(local[local.index("--window_left") + 1], "31")
        self.judged(local, "--window_left")
        self.assertEqual(self.check([*local, "--sinks", "none"]), 2)  # dsinks of no sinks
        full = self.dump("--model", "oss:make", "--call", "1", passes=())
        self.assertNotIn("--window_left", full)
        self.judged(full, "--causal")
        self.assertEqual(self.check([*full, "--sinks", "none"]), 1)

    @unittest.skipIf(missing("transformers"), "transformers is missing")
    def test_alibi_of_falcon(self):
        (self.folder / "falcon.py").write_text(textwrap.dedent(FALCON))
        words = self.dump("--model", "falcon:make")
        self.judged(words, "--causal")
        self.assertEqual(self.check([*words, "--alibi", "none"]), 1)

    def test_biases_and_masks_that_no_flag_names(self):
        (self.folder / "biased.py").write_text(textwrap.dedent(BIASED))
        for make in ("make", "causal", "dotted"):
            words = self.dump("--model", f"biased:{make}")
            self.judged(words)
            self.assertEqual("--causal" in words, make == "causal")
            self.assertEqual(self.check([*words, "--bias", "none"]), 2)  # dbias of no bias
            forward = self.dump("--model", f"biased:{make}", passes=())
            self.assertEqual(self.check([*forward, "--bias", "none"]), 1)


if __name__ == "__main__":
    unittest.main()
