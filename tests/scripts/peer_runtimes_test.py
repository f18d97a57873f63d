"""ONNX Runtime and OpenVINO: what they compute passes, what they cannot is skipped."""

import importlib
import unittest

from harness import missing, require

NEEDS = {
    "onnxruntime": ("numpy", "safetensors", "onnx", "onnxruntime"),
    "openvino": ("numpy", "safetensors", "openvino"),
}
HERE = [name for name, packages in NEEDS.items() if not missing(*packages)]
if not HERE:
    require("onnxruntime", "openvino")

from one_library import FAST, OneLibrary  # noqa: E402

CLASSES = {"onnxruntime": "OnnxRuntime", "openvino": "OpenVino"}
LIBRARIES = {
    name: getattr(importlib.import_module(f"peer_{name}"), CLASSES[name])() for name in HERE
}

SQUARE = "--b 2 --h 4 --q_len 24 --d 16"
LATER = "--b 2 --h 4 --q_len 24 --kv_len 40 --d 16"  # queries that follow other keys
DECODE = "--b 2 --h 4 --h_kv 2 --q_len 1 --kv_len 40 --d 16 --causal"


class Runtimes(OneLibrary):
    def of(self, name):
        if name not in HERE:
            self.skipTest(f"no {name}")
        return LIBRARIES[name]

    def test_masks(self):
        shape = "--b 2 --h 3 --q_len 40 --d 16 --scale 0.4"
        for library in LIBRARIES.values():
            self.passed(f"{shape} --causal true,false", library=library)
            self.passed(f"{shape} --mask random", library=library)

    def test_windows_and_causal_masks_are_aligned_with_the_last_keys(self):
        for library in LIBRARIES.values():
            self.passed(f"{LATER} --causal --window_left none,7", library=library)
            self.passed(f"{LATER} --window_left 7 --window_right 3 --d_v 8", library=library)

    def test_alibi_and_a_bias_are_masks_of_floats(self):
        for library in LIBRARIES.values():
            added = "--alibi none,standard --bias random --bias_shape 1xh,bx1"
            self.passed(f"{LATER} --causal true,false {added}", library=library)
            self.passed(f"{SQUARE} --causal --alibi standard", library=library)

    def test_onnxruntime_takes_the_first_operator_that_has_all_of_a_case(self):
        library = self.of("onnxruntime")
        self.passed(f"{SQUARE} --causal", "multi_head_attention", library=library)
        none_seen = f"{SQUARE} --causal --mask random"  # by some queries
        self.passed(none_seen, "attention", library=library)
        own = "--sinks none,random --softcap 0,5 --window_left 7 --dtype f32,f16"
        self.passed(f"{SQUARE} --causal {own}", "group_query_attention", library=library)
        grouped = f"{LATER} --h_kv 2 --softcap 5 --mask random --mask_keep 0.9"
        self.passed(f"{grouped} --dtype f32,f16", "attention", library=library)

    def test_onnxruntime_adds_the_last_key_to_its_cache(self):
        """Once more in each call; the window counts from it."""
        library = self.of("onnxruntime")
        options = "--sinks random --window_left none,7 --alibi none,standard --dtype f32,f16"
        self.passed(f"{DECODE} {options}", "group_query_attention", library=library)

    def test_onnxruntime_refuses_what_no_operator_has_and_a_forced_one_has_not(self):
        library = self.of("onnxruntime")
        for flags, says in (
            ("--sinks random", "Attention has no sinks"),
            ("--dtype bf16", "no bf16"),
            ("--kernel multi_head_attention --causal --window_left 7", "has no windows"),
            ("--kernel group_query_attention", "has no queries that see later keys"),
            ("--page_size 8", "takes no --page_size"),
            ("--kv_dtype e4m3", "takes no --kv_dtype"),
        ):
            self.skipped(f"{SQUARE} {flags}", says, library=library)

    def test_openvino_has_sinks_and_no_soft_cap(self):
        library = self.of("openvino")
        self.passed(f"{SQUARE} --sinks random --mask random", library=library)
        self.passed(f"{LATER} --sinks random --causal --alibi none,standard", library=library)
        self.skipped(f"{SQUARE} --softcap 5", "no soft cap", library=library)

    def test_no_backward_says_the_script(self):
        """Of which a report comes all the same."""
        for name in HERE:
            args = "--h 2 --q_len 32 --d 16 --pass forward,backward --type flash --json -"
            done = self.run_script(f"peer/peer_{name}.py", *FAST, *args.split())
            forward, backward = self.validated(done.stdout)["results"]
            self.assertEqual((forward["status"], backward["status"]), ("ok", "skipped"))
            self.assertGreater(forward["pct_peak"], 0)
            self.assertIn("backward", backward["reason"])


if __name__ == "__main__":
    unittest.main()
