"""Other people's kernels on a GPU: the one of tests/fake_gpu, which executes their PTX."""

import os
import unittest

from cuda_test import OnAFakeGpu, fake
from guest_harness import PLUGINS, GuestTest, plugin

PTX = str(PLUGINS / "attention_cuda.ptx")
CASE = ["--backend", "cuda", "--plugin", plugin("gpu_guest"), "--h", "2", "--q_len", "20", "--d", "32", "--pass", "forward"]


class OnTheFakeGpu(GuestTest, OnAFakeGpu):
    def setUp(self):
        super().setUp()
        if not os.path.exists(PTX):
            self.skipTest("no PTX of the example: a build without nvcc")

    def check_there(self, *args, attack="", code=0):
        return self.check_json(*CASE, *args, code=code, env=fake(GUEST_PTX=PTX, ATTACK=attack))

    def caught(self, attack, why):
        (result,) = self.check_there(attack=attack, code=1)["results"]
        self.assertEqual(result["status"], "failed")
        self.assertIn(why, result["reason"])


class Plugins(OnTheFakeGpu):
    def test_a_kernel_that_calls_the_driver_is_judged_like_ours(self):
        results = self.check_there("--causal", "true,false", "--kv_len", "20,45", "--h_kv", "1")["results"]
        self.assertEqual(len(results), 4)
        for result in results:
            self.assertEqual((result["kernel"], result["backend"], result["device"]), ("gpu_guest", "cuda", "0"))
            self.assertEqual(result["check"]["verdict"], "pass")
            self.assertGreater(result["device_bytes"], result["workspace_bytes"])
            self.assertEqual(result["workspace_bytes"], 1000)

    def test_it_is_sampled_in_turns_with_flash_of_that_gpu(self):
        for cache in ("warm", "cold"):
            report = self.bench_json(*CASE, "--type", "flash,plugin", "--cache", cache, env=fake(GUEST_PTX=PTX))
            flash, guest = report["results"]
            self.assertEqual((flash["backend"], guest["backend"]), ("cuda", "cuda"))
            self.assertEqual(guest["check"]["verdict"], "pass")
            self.assertGreater(guest["median"], 0)
            self.assertEqual(len(guest["times"]), len(flash["times"]))

    def test_it_runs_in_the_program_without_isolation(self):
        (result,) = self.check_there("--isolate", "false")["results"]
        self.assertEqual(result["check"]["verdict"], "pass")
        self.assertFalse(result["guest"]["isolated"])

    def test_forward_takes_it_and_profiles_it(self):
        done = self.expect(0, "forward", *CASE[:-2], "--profile", env=fake(GUEST_PTX=PTX))
        self.assertRegex(done.stdout, "kernel +gpu_guest, device 0\n")
        self.assertRegex(done.stdout, "verdict +pass")


    def test_the_example_of_the_runtime_says_what_it_is_for(self):
        done = self.expect(3, "check", "--plugin", plugin("attention_gpu"), "--q_len", "16", "--d", "8", "--pass", "forward")
        self.assertIn("attention_gpu: for GPUs: add --backend cuda", done.stdout)


class Caught(OnTheFakeGpu):
    def test_a_fault_of_its_launch_fails_that_case_alone(self):
        report = self.check_json(*CASE, "--type", "flash,plugin", "--kv_len", "20,30", code=1,
                                 env=fake(GUEST_PTX=PTX, ATTACK="fault"))
        for result in report["results"]:
            if result["type"] == "flash":
                self.assertEqual(result["status"], "ok", "our context is another one")
            else:
                self.assertIn("CUDA_ERROR_LAUNCH_FAILED", result["reason"])

    def test_a_written_input_is_seen(self):
        self.caught("write_input", "it wrote to its input k")

    def test_a_write_behind_the_workspace_is_seen(self):
        self.caught("write_behind_the_workspace", "it writes outside of its workspace")

    def test_a_write_between_outputs_is_seen(self):
        self.caught("write_between_outputs", "it writes outside of o")

    def test_a_crash_costs_its_process(self):
        self.caught("crash", "its worker was ended by signal 6")

    def test_results_of_the_call_before_are_not_taken_for_new_ones(self):
        report = self.bench_json(*CASE, "--type", "plugin", code=1, env=fake(GUEST_PTX=PTX, ATTACK="replay"))
        self.assertRegex(report["results"][0]["reason"], "wrong result: O NaN|not credible")

    def test_work_on_a_stream_of_its_own_is_not_left_out_of_the_time(self):
        (result,) = self.check_json(*CASE, code=1, env=fake("late_ms=20", GUEST_PTX=PTX, ATTACK="other_stream"))["results"]
        self.assertIn("the GPU works on after the stream of the call is done", result["reason"])
        self.check_json(*CASE, env=fake("late_ms=20", GUEST_PTX=PTX))

    def test_guests_and_our_kernels_share_the_memory_of_a_gpu(self):
        command = ["bench", *CASE[:4], "--type", "flash,plugin", "--h", "8", "--q_len", "8k", "--d", "128", "--pass", "forward",
                   "--dry_run", "--json", "-"]
        dry_run = lambda mb: self.validated(self.expect(0, *command, env=fake(f"free_mb={mb}", GUEST_PTX=PTX)).stdout)["results"]
        flash, guest = (r["device_bytes"] for r in dry_run(500))
        results = dry_run((flash + guest * 7 // 8) >> 20)  # a GPU keeps some for its probes
        self.assertEqual(results[0]["reason"], "dry run: nothing was measured", "each alone has room")
        self.assertIn("beside the cases that it is compared with", results[1]["reason"])

    def test_a_plugin_of_the_processor_is_told_about_the_gpu(self):
        done = self.expect(3, "check", "--backend", "cuda", "--plugin", plugin("attention"), "--q_len", "16", "--d", "8",
                           "--pass", "forward", env=fake())
        self.assertIn("skipped 1 case: online_softmax: forward alone, with a causal or a key mask at most", done.stdout)

    def test_a_plugin_of_gpus_is_told_about_the_processor(self):
        done = self.expect(3, "check", *CASE[2:], env=fake(GUEST_PTX=PTX))
        self.assertIn("gpu_guest: for GPUs: add --backend cuda", done.stdout)

    def test_a_gpu_that_is_not_there_is_named(self):
        done = self.expect(3, "check", *CASE[2:], "--device", "4", env=fake(GUEST_PTX=PTX))
        self.assertIn("there is no GPU 4; this machine has GPU 0", done.stdout)
        done = self.expect(3, "check", *CASE, env={"LD_LIBRARY_PATH": ""})
        self.assertIn("--backend cuda is not available: no CUDA driver", done.stdout)

    def test_flags_of_the_processor_are_refused(self):
        done = self.expect(3, "check", *CASE, "--threads", "1", env=fake(GUEST_PTX=PTX))
        self.assertIn("--threads 1 is of the processor; --backend cuda has none", done.stdout)


class OnTheEmulatedDevice(GuestTest):
    """No driver of a GPU is there: the plug-in's calls meet the emulated device's."""

    CASE = ["--device", "emulated", *CASE[2:]]

    def setUp(self):
        super().setUp()
        if not os.path.exists(PTX):
            self.skipTest("no PTX of the example: a build without nvcc")

    def found(self, what, attack="", ptx=PTX):
        report = self.check_json(*self.CASE, "--kv_len", "70", code=1, env={"GUEST_PTX": ptx, "ATTACK": attack})
        self.assertIn(what, report["results"][0]["reason"])

    def test_a_kernel_that_calls_the_driver_needs_no_gpu(self):
        env = {"GUEST_PTX": PTX}
        results = self.check_json(*self.CASE, "--causal", "true,false", "--backend", "cuda", env=env)["results"]
        self.assertEqual([(r["device"], r["check"]["verdict"]) for r in results], [("emulated", "pass")] * 2)
        self.expect(0, "forward", *self.CASE[:-2], "--profile", env=env)

    def test_a_race_is_named_by_its_line(self):
        self.found("race in attention (attention.cu:", ptx=PTX.replace(".ptx", "_race.ptx"))

    def test_an_access_out_of_bounds_is_named_by_its_line(self):
        self.found("out of bounds in attention (attention.cu:", attack="fault")

    def test_a_write_past_the_workspace_is_found(self):
        self.found("past the end of", attack="write_behind_the_workspace")

    def test_a_finding_names_the_tensor_and_its_element(self):
        self.found("of 'o', element [0, ", attack="read_unwritten")

    def test_a_finding_names_the_plug_ins_own_memory(self):
        self.found("of 'allocation 1 by cuMemAlloc'", attack="read_own_memory")

    def test_memory_that_is_not_there_is_called_by_what_it_is(self):
        self.found("at a null pointer", attack="null_pointer")
        self.found("of 'allocation 1 by cuMemAlloc' (64 bytes), which has been freed", attack="use_after_free")

    def test_memory_of_the_program_is_not_the_plug_ins_to_free(self):
        for what in ("o", "workspace"):
            self.found(f"it frees '{what}', which is not its own", attack=f"free_{'tensor' if what == 'o' else what}")

    def test_device_memory_that_the_host_touches_is_told_from_a_wild_pointer(self):
        self.found("it touched device memory on the host", attack="touch_on_host")

    def test_work_on_another_stream_that_nobody_waits_for_is_found(self):
        self.found("work on other streams has to be joined into it", attack="other_stream")

    def of_the_runtime(self, name):
        if not os.path.exists(plugin(name)):
            self.skipTest("no plug-in of CUDA's runtime: a toolkit without libcudart.so")
        return ["--device", "emulated", "--plugin", plugin(name), *self.CASE[4:]]

    def test_a_plugin_of_the_runtime_needs_no_gpu(self):
        case = self.of_the_runtime("attention_gpu_shared")
        results = self.check_json(*case, "--causal", "true,false", "--kv_len", "45")["results"]
        self.assertEqual([(r["kernel"], r["check"]["verdict"]) for r in results], [("attention_gpu", "pass")] * 2)

    def test_a_race_of_a_plugin_of_the_runtime_is_named(self):
        case = self.of_the_runtime("attention_gpu_race")
        (result,) = self.check_json(*case, "--kv_len", "70", code=1)["results"]
        self.assertRegex(result["reason"], r"race in attention \(attention\.cu:\d+\).*PTX line")

    def test_a_runtime_that_is_linked_in_is_told_to_be_linked_as_a_library(self):
        case = ["--device", "emulated", "--plugin", plugin("attention_gpu"), *self.CASE[4:]]
        results = self.check_json(*case, "--kv_len", "20,45", code=3)["results"]
        self.assertEqual(len(results), 2)
        for result in results:
            self.assertEqual(result["status"], "skipped")
            self.assertIn("link that of CUDA 12 or 13 as a library (nvcc -cudart shared)", result["reason"])

    def test_what_goes_on_without_what_the_device_lacks_is_judged(self):
        results = self.check_json(*self.CASE, "--kv_len", "20,45", env={"GUEST_PTX": PTX, "ATTACK": "lack_and_go_on"})["results"]
        self.assertEqual([r["check"]["verdict"] for r in results], ["pass"] * 2)

    def test_what_fails_for_what_the_device_lacks_is_skipped_with_it(self):
        results = self.check_json(*self.CASE, "--kv_len", "20,45", code=3, env={"GUEST_PTX": PTX, "ATTACK": "lack_and_fail"})["results"]
        for result in results:
            self.assertEqual(result["status"], "skipped")
            self.assertIn("the emulated device: attribute 9999 of a device", result["reason"])

    def test_a_written_input_is_found(self):
        self.found("it wrote to its input k", attack="write_input")

    def test_what_cannot_be_executed_there_is_told(self):
        for flags, why in (
            (["--isolate", "false"], "leave out --isolate false"),
            (["--threads", "2"], "leave out --threads 2"),
        ):
            done = self.expect(3, "check", *self.CASE, *flags, env={"GUEST_PTX": PTX})
            self.assertIn(why, done.stdout)
        done = self.expect(3, "check", "--device", "emulated", "--worker", "true", "--q_len", "8")
        self.assertIn("a --worker wants a GPU", done.stdout)
        done = self.expect(3, "check", *self.CASE, env={"GUEST_PTX": plugin("attention")})
        self.assertIn("gpu_guest: the driver does not take the PTX; the emulated device had refused: it is no PTX, which is what", done.stdout)


class Lacking(GuestTest):
    def test_a_function_of_the_driver_that_is_not_there_is_named(self):
        done = self.expect(3, "check", "--device", "emulated", "--plugin", plugin("lacking_driver"), "--q_len", "8", "--pass",
                           "forward")
        self.assertIn("lacking_driver.so' needs cuGraphCreate, which the emulated device does not have", done.stdout)
        self.refuse("check", "--plugin", plugin("lacking_driver"), "--q_len", "8", says="undefined symbol: cuGraphCreate")


if __name__ == "__main__":
    unittest.main()
