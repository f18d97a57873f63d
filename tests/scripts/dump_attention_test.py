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


class DumpAttention(ScriptTest):
    def dump(self, *args):
        """The flashbench command that the script ends with, as words."""
        files = ["qkv.safetensors", "--with-output", "o.safetensors"]
        done = self.run_script("dump_attention.py", *files, "--backward", *args)
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

    @unittest.skipIf(missing("transformers"), "transformers is missing")
    def test_soft_cap_window_and_scale_of_gemma_2(self):
        (self.folder / "gemma.py").write_text(textwrap.dedent(GEMMA))
        local = self.dump("--model", "gemma:make", "--call", "0")
        self.assertEqual(local[local.index("--window_left") + 1], "31")
        self.judged(local, "--window_left", "--softcap", "--scale")
        full = self.dump("--model", "gemma:make", "--call", "1")
        self.assertNotIn("--window_left", full)
        self.judged(full, "--causal", "--softcap", "--scale")


if __name__ == "__main__":
    unittest.main()
