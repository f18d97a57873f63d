"""Every shipped config expands to the cases that it is meant to hold, and says where they come from."""

import json
import unittest

from harness import ROOT, CliTest

CONFIGS = sorted((ROOT / "configs").glob("*.json"))

# Cases that each must expand to: one that silently loses or doubles some is a wrong workload.
CASES = {
    "bert_base": 2 * 2 * 2,  # types x points x lengths
    "bloom_7b1": 2 * 2 * 4,
    "deepseek_v3": 2 * (3 + 3),
    "flash_attention_2": 2 * 2 * 2 * 12,  # types x passes x causal x points
    "flash_attention_3": 2 * 2 * 18,
    "gemma2_9b": 2 * 4 * 4,
    "gemma3_12b": 2 * 4 * 3,
    "gpt2": 2 * 2 * 4,
    "gpt_oss_20b": 2 * 4 * 3,
    "llama3_8b": 2 * 3 * 4,
    "mistral_7b": 2 * (3 + 4),
    "origin": 2 * 2,
    "phi3": 2 * (3 + 3),
    "quick": 2 * (3 + 1 + 1),
    "qwen2_5_7b": 2 * (3 + 4),
    "qwen3_8b": 2 * (3 + 4),
    "t5_base": 2 * (2 + 2 + 1 + 2 + 1),
    "vit_l16": 2 * 2,
    "vllm_mixed_batch": 2 * 6,
    "whisper_large": 2 * 5,
}
HAVE_DECODE = {"bloom_7b1", "deepseek_v3", "gemma2_9b", "gemma3_12b", "gpt2", "gpt_oss_20b", "llama3_8b",
               "mistral_7b", "phi3", "qwen2_5_7b", "qwen3_8b", "t5_base", "vllm_mixed_batch", "whisper_large"}
NO_MODELS = {"flash_attention_2", "flash_attention_3", "origin", "quick"}


class Configs(CliTest):
    def workloads(self, name):
        done = self.run_program("bench", "--config", ROOT / "configs" / f"{name}.json", "--dry_run", "--json", "-")
        self.assertIn(done.returncode, (0, 3), done.stderr)  # 3: too large for this machine
        return [r["workload"] for r in json.loads(done.stdout)["results"]]

    def test_every_config_is_listed(self):
        self.assertEqual({p.stem for p in CONFIGS}, set(CASES))

    def test_every_config_names_its_source(self):
        for path in CONFIGS:
            config = json.loads(path.read_text())
            for field in ("name", "source"):
                self.assertTrue(config.get(field), f"{path.name}: {field}")
            if isinstance(config.get("zip"), list):
                for point in config["zip"]:
                    self.assertTrue(point.get("name"), f"{path.name}: {point}")

    def test_every_model_says_how_many_layers_compute_each_part(self):
        for path in CONFIGS:
            config = json.loads(path.read_text())
            points = config["zip"] if isinstance(config.get("zip"), list) else [{}]
            layers = {config.get("layers", point.get("layers")) for point in points}
            if path.stem in NO_MODELS:
                self.assertEqual(layers, {None}, path.name)
            else:
                self.assertNotIn(None, layers, path.name)
                self.assertRegex(config["source"], r"(num_hidden_layers|num_layers|n_layer|coder_layers) \d", path.name)

    def test_every_config_expands(self):
        for name, cases in CASES.items():
            workloads = self.workloads(name)
            self.assertEqual(len(workloads), cases, name)
            decode = any(w["q_len"] == 1 for w in workloads)
            self.assertEqual(decode, name in HAVE_DECODE or name == "quick", name)

    def test_the_papers_sweeps_keep_tokens_and_hidden_dimension(self):
        for name in ("flash_attention_2", "flash_attention_3"):
            for w in self.workloads(name):
                self.assertEqual(w["b"] * w["q_len"], 16384, w)
                self.assertEqual(w["h"] * w["d"], 2048, w)


if __name__ == "__main__":
    unittest.main()
