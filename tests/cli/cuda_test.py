"""A GPU, driven through the real program: tests/fake_gpu holds the driver libraries that it loads. The kernels are
executed by the emulator, so results are right, and the driver fails where it is told to."""

import functools
import json
import os
import pathlib
import subprocess
import unittest

from harness import PROGRAM, CliTest

FAKES = os.environ.get("FLASHBENCH_FAKE_GPU", "")
ONE_HEAD = ["--b", "1", "--h", "1", "--type", "flash", "--backend", "cuda"]
CASE = [*ONE_HEAD, "--q_len", "16"]
LOST = "Fake GPU is lost to an earlier error"


def fake(cuda="", nvml="", **extra):
    return {"LD_LIBRARY_PATH": FAKES, "FAKE_CUDA": cuda, "FAKE_NVML": nvml, **extra}


@functools.cache
def why_not():
    """Why none of this can run; "" if it can."""
    if not FAKES or not pathlib.Path(FAKES, "libcuda.so.1").exists():
        return "no fake driver: set FLASHBENCH_FAKE_GPU to the folder that holds it"
    args = [PROGRAM, "forward", "--device", "emulated", "--q_len", "1", "--d", "1"]
    done = subprocess.run(args, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr


class OnAFakeGpu(CliTest):
    def setUp(self):
        super().setUp()
        if why_not():
            self.skipTest(why_not())

    def info(self, *args, cuda="", nvml="", **extra):
        # One level of the processor: its peaks are not what is tested here.
        return self.expect(0, "info", "--isa", "scalar", *args, env=fake(cuda, nvml, **extra))

    def bench(self, *args, code=0, cuda="", nvml="", **extra):
        flags = ONE_HEAD if "--q_len" in args else CASE
        return self.bench_json(*flags, *args, code=code, env=fake(cuda, nvml, **extra))


class Listing(OnAFakeGpu):
    def test_info_lists_the_gpu_and_what_nvml_says(self):
        text = self.info(nvml="reasons=4;clock=1410").stdout
        for words in (
            "0             Fake GPU, compute capability 9.0, 1 multiprocessors",
            "driver 580.65.06 for CUDA 13.0",
            "SM clock 1.41 of 1.98 GHz",
            "71.5 of 700 W, 31 C, held down by its power limit, 0 uncorrected ECC errors",
            "cuda          available",
        ):
            self.assertIn(words, text)

    def test_info_measures_the_peaks_of_the_gpu(self):
        done = self.expect(0, "info", "--threads", "1", "--json", "-", env=fake())
        peaks = {p["dtype"]: p for p in json.loads(done.stdout)["peaks"] if p["device"] == "0"}
        self.assertEqual(peaks["f32"]["isa"], "fma.f32")
        self.assertEqual(peaks["bf16"]["isa"], "wgmma")
        self.assertEqual(peaks["f16"]["isa"], "wgmma")
        self.assertEqual({p: peaks[p]["threads"] for p in peaks}, {"f32": 1024, "bf16": 256, "f16": 256, None: 1024})
        self.assertGreater(peaks[None]["read_gb_s"], 0)
        gpu = next(line for line in done.stderr.splitlines() if line.startswith("  GPU 0 "))
        self.assertRegex(gpu, r"GPU 0 +f32 \S+ .FLOP/s \(fma.f32\), bf16 .*\(wgmma\), read \S+ .B/s$", "no count of threads")

    def test_no_nvml_is_said_and_nothing_else_is_lost(self):
        text = self.info(nvml="init=9").stdout
        self.assertIn("clocks, power and energy unknown: nvmlInit: Driver Not Loaded", text)
        report = self.bench("--d", "16", nvml="gpus=0")
        gpu = report["context"]["gpu"]
        self.assertEqual(gpu["nvml_missing"], "NVML does not know GPU 0000:3A:00.0: Not Found")
        self.assertIsNone(gpu["sm_clock_hz"])
        self.assertEqual(gpu["energy"]["missing"], gpu["nvml_missing"])
        (result,) = report["results"]
        self.assertEqual(result["status"], "ok")
        self.assertIsNone(result["energy_j"])

    def test_why_there_is_no_gpu_is_one_line(self):
        for settings, why in (
            ({"cuda": "init=100"}, "cuInit: CUDA_ERROR_NO_DEVICE (as the test asked)"),
            ({"cuda": "init=34"}, "cuInit: CUDA_ERROR_STUB_LIBRARY (34): this is the toolkit's stub of libcuda"),
            ({"cuda": "init=4711"}, "cuInit: CUDA error 4711 (as the test asked)"),
            ({"cuda": "gpus=0"}, "the CUDA driver shows no GPU"),
            ({"cuda": "version=11080"}, "the driver supports CUDA 11.8, this build needs"),
            ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES is empty, which hides every GPU"),
        ):
            (line,) = [l for l in self.info(**settings).stdout.splitlines() if l.startswith("  cuda  ")]
            self.assertIn(f"absent: {why}", line)
            self.refuse("forward", *CASE, code=3, says=why, env=fake(**settings))
            auto = self.expect(0, "forward", "--q_len", "16", "--d", "16", "--json", "-", env=fake(**settings)).stdout
            self.assertEqual(json.loads(auto)["results"][0]["backend"], "cpu")

    def test_an_unknown_device_names_those_there_are(self):
        says = "there is no GPU 7; this machine has GPU"
        self.refuse("forward", *CASE, "--device", "7", code=3, says=says + " 0", env=fake())
        self.refuse("forward", *CASE, "--device", "2", code=3, says="has GPUs 0 to 1", env=fake("gpus=2"))


class Measuring(OnAFakeGpu):
    def test_every_number_of_a_report(self):
        report = self.bench("--d", "16", "--pass", "both", nvml="clock=1700")
        (result,) = report["results"]
        self.assertEqual((result["status"], result["check"]["verdict"]), ("ok", "pass"))
        self.assertEqual((result["backend"], result["kernel"], result["device"]), ("cuda", "simt_f32", "0"))
        self.assertGreater(result["pct_peak"], 0)
        self.assertIn(result["bound"], ("compute", "memory"))
        self.assertGreater(result["balance"], 0)
        self.assertIn("is the limit", result["why"])
        self.assertGreater(result["energy_j"], 0)
        rows, d = 16, 16  # of each of q, k, v, o, their gradients and that of o
        self.assertEqual(result["device_bytes"], 4 * (8 * rows * d + rows) + result["workspace_bytes"])
        self.assertIsNone(result["peak_rss_bytes"], "its memory is not the process's")
        self.assertFalse([w for w in result["warnings"] if "throttled: the GPU" in w])
        gpu = report["context"]["gpu"]
        self.assertEqual(gpu["driver_version"], "580.65.06")
        self.assertEqual(gpu["pci_bus_id"], "0000:3A:00.0")
        self.assertEqual((gpu["sm_clock_hz"], gpu["max_sm_clock_hz"]), (1.7e9, 1.98e9))
        self.assertEqual((gpu["power_w"], gpu["power_limit_w"], gpu["ecc_errors"]), (71.5, 700, 0))
        self.assertEqual(gpu["energy"], {"source": "NVML, the whole board", "missing": None})
        self.assertEqual({p["device"] for p in report["peaks"]}, {"0"})

    def test_auto_takes_the_gpu(self):
        done = self.expect(0, "forward", "--q_len", "16", "--d", "16", "--json", "-", env=fake())
        (result,) = json.loads(done.stdout)["results"]
        self.assertEqual((result["backend"], result["check"]["verdict"]), ("cuda", "pass"))

    def test_cold_calls_are_timed_one_by_one(self):
        (result,) = self.bench("--d", "16", "--cache", "cold")["results"]
        self.assertEqual((result["status"], result["iterations_per_sample"]), ("ok", 1))

    def test_throttled_clocks_are_a_warning_with_a_remedy(self):
        (result,) = self.bench("--d", "16", nvml="reasons=4;clock=1410")["results"]
        (warning,) = [w for w in result["warnings"] if w.startswith("throttled: the GPU")]
        self.assertIn("power limit held its clocks down", warning)
        self.assertIn("nvidia-smi", warning)

    def test_no_energy_counter_is_said(self):
        report = self.bench("--d", "16", nvml="energy=0")
        self.assertIsNone(report["results"][0]["energy_j"])
        self.assertIn("counts no energy", report["context"]["gpu"]["energy"]["missing"])

    def test_calls_do_not_pay_for_slow_readings_of_the_energy_counter(self):
        # 100 W by the clock, whatever runs. A reading after every sample of 1 ms would make it 1100 W.
        (result,) = self.bench("--d", "16", nvml="slow_ms=10")["results"]
        self.assertLess(result["energy_j"] / result["median"], 500)

    def test_cold_calls_have_no_energy_since_their_flushes_would_count(self):
        (result,) = self.bench("--d", "16", "--cache", "cold")["results"]
        self.assertIsNone(result["energy_j"])
        self.assertIsNone(result["gflop_per_j"])

    def test_two_gpus_are_measured_each_by_its_own_clock(self):
        report = self.bench("--d", "16", "--device", "1,0", cuda="gpus=2", nvml="gpus=2")
        self.assertEqual([r["status"] for r in report["results"]], ["ok", "ok"])
        self.assertEqual({p["device"] for p in report["peaks"]}, {"0", "1"})
        self.assertEqual(report["context"]["gpu"]["pci_bus_id"], "0000:3B:00.0", "the first one asked for")
        self.assertEqual(report["context"]["gpu"]["sm_clock_hz"], 1.88e9, "NVML's own of that address")


class Faults(OnAFakeGpu):
    def statuses(self, report):
        return [(r["status"], r["check"]["verdict"]) for r in report["results"]]

    def test_a_launch_that_does_nothing_is_a_wrong_result(self):
        (result,) = self.bench("--d", "16", code=1, cuda="idle=1")["results"]
        self.assertEqual((result["status"], result["check"]["verdict"]), ("failed", "fail"))
        self.assertIsNone(result["median"])
        self.assertIn("wrong result", result["reason"])

    def test_an_illegal_address_fails_its_case_and_skips_those_after_it(self):
        report = self.bench("--d", "64,128,32", code=1, cuda="fault=700@forward_d128")
        first, second, third = report["results"]
        self.assertEqual((first["status"], first["check"]["verdict"]), ("ok", "pass"))
        self.assertEqual(second["status"], "failed")
        self.assertIn("CUDA_ERROR_ILLEGAL_ADDRESS (as the test asked)", second["reason"])
        self.assertEqual(third["status"], "skipped")
        self.assertIn(LOST, third["reason"])
        self.assertIn("CUDA_ERROR_ILLEGAL_ADDRESS", third["reason"])

    def test_an_ecc_error_of_one_gpu_leaves_the_processor_and_the_other_gpu(self):
        args = ["--b", "1", "--h", "1", "--q_len", "16", "--d", "128,16", "--type", "flash"]
        settings = fake("gpus=2;fault=214@forward_d128", "gpus=2")
        report = self.bench_json(*args, "--backend", "cpu,cuda", code=1, env=settings)
        told = {(r["backend"], r["workload"]["d"]): (r["status"], r["reason"] or "") for r in report["results"]}
        self.assertEqual(told["cpu", 128][0], "ok")
        self.assertEqual(told["cpu", 16][0], "ok")
        self.assertEqual(told["cuda", 128][0], "failed")
        self.assertIn("CUDA_ERROR_ECC_UNCORRECTABLE", told["cuda", 128][1])
        self.assertEqual(told["cuda", 16][0], "skipped")

    def test_a_refused_launch_leaves_the_device_to_the_others(self):
        report = self.bench("--d", "128,64", code=1, cuda="refuse=701@forward_d128")
        first, second = report["results"]
        self.assertEqual(first["status"], "failed")
        self.assertIn("simt_f32_forward_d128: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", first["reason"])
        self.assertEqual((second["status"], second["check"]["verdict"]), ("ok", "pass"))

    def test_memory_is_predicted_before_it_is_taken(self):
        report = self.bench("--q_len", "16,64k", "--d", "1024", "--verify", "sample", cuda="total_mb=300")
        fits, large = report["results"]
        self.assertEqual(fits["status"], "ok")
        self.assertEqual(large["status"], "skipped")
        self.assertRegex(large["reason"], r"needs 1\.\d GB on device Fake GPU, 0\.\d GB available")
        (limit,) = report["summary"]["memory_limit"]
        self.assertEqual((limit["fits"], limit["exceeds"]), (16, 65536), "both are of one series, on one device")

    def test_cases_that_are_compared_need_their_memory_together(self):
        # Each takes 105 MB beside 103 MB that are kept for CUDA and the probes; there are 209 MB.
        shape = ["--b", "1", "--h", "1", "--q_len", "100k", "--kv_len", "1", "--d", "256", "--dtype", "bf16"]
        kernels = ["--backend", "cuda", "--type", "flash", "--kernel", "mma_sm80,simt_f32"]
        done = self.expect(0, "bench", "--dry_run", *shape, *kernels, env=fake("total_mb=199"))
        mma, simt = [line for line in done.stdout.splitlines() if line.startswith("flash")]
        self.assertIn("cuda 0", done.stdout.split("\n\n")[0], "of all cases")
        self.assertNotIn("needs", mma)
        self.assertRegex(simt, r"needs 105 MB, 10\d MB available on device 0 beside the cases")

    def test_memory_that_the_driver_refuses_all_the_same_skips_the_case(self):
        report = self.bench("--q_len", "16k,16", "--d", "1024", cuda="total_mb=200;free_mb=8000")
        large, fits = report["results"]
        self.assertEqual(large["status"], "skipped")
        self.assertRegex(large["reason"], r"cuMemAlloc of \d+ bytes for \w+: CUDA_ERROR_OUT_OF_MEMORY")
        self.assertEqual((fits["status"], fits["check"]["verdict"]), ("ok", "pass"))

    def test_check_goes_on_too(self):
        shapes = ["--q_len", "16", "--d", "64,128,32", "--pass", "forward", "--type", "flash", "--backend", "cuda"]
        done = self.expect(1, "check", *shapes, "--json", "-", env=fake("fault=719@forward_d128"))
        report = self.validated(done.stdout)
        self.assertEqual([r["status"] for r in report["results"]], ["ok", "failed", "skipped"])
        self.assertIn("CUDA_ERROR_LAUNCH_FAILED", report["results"][1]["reason"])

    def test_a_probe_that_fails_costs_the_share_of_the_peak_only(self):
        (result,) = self.bench("--d", "16", cuda="refuse=701@simt_probe")["results"]
        self.assertEqual((result["status"], result["check"]["verdict"]), ("ok", "pass"))
        self.assertIsNone(result["pct_peak"])
        (warning,) = [w for w in result["warnings"] if w.startswith("no share of the peak")]
        self.assertIn("simt_probe_fma: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", warning)

    def test_forward_says_it_in_one_line(self):
        self.refuse("forward", *CASE, "--d", "16", code=1, says="CUDA_ERROR_ILLEGAL_ADDRESS", env=fake("fault=700@forward"))


if __name__ == "__main__":
    unittest.main()
