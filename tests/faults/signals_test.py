"""A signal is answered within about a second, whatever the program is doing, and keeps what is done."""

import os
import signal
import time
import unittest

from fault_harness import LONG_LAUNCH, SWEEP, FaultTest

ANSWER_S = 2.5  # about a second, and other programs on the same processors


class LongWork(FaultTest):
    def interrupt_after(self, seconds, code, *args, number=signal.SIGINT):
        process = self.start(*args)
        time.sleep(seconds)
        self.assertIsNone(process.poll(), "it should take longer")
        sent = time.monotonic()
        process.send_signal(number)
        out, err = self.end(process, code)
        self.assertLess(time.monotonic() - sent, ANSWER_S, args)
        return out, err

    def test_a_launch_is_left_between_tiles(self):
        narrower = ["--b", "1", "--h", "2", "--q_len", "8k", "--d", "512", "--threads", "1"]  # S fits
        for kind, which, size in (("paper", "forward", LONG_LAUNCH), ("paper", "backward", LONG_LAUNCH),
                                  ("flash", "backward", LONG_LAUNCH), ("normal", "forward", narrower)):
            self.interrupt_after(0.7, 130, which, *size, "--type", kind, "--verify", "none")

    def test_a_deterministic_launch_whose_threads_wait_for_each_other_is_left(self):
        size = [*LONG_LAUNCH[:-2], "--threads", "2", "--deterministic"]
        self.interrupt_after(1.0, 130, "backward", *size, "--type", "flash", "--verify", "none")

    def test_a_check_is_left_between_rows_and_keeps_the_cases_before(self):
        where = self.folder / "c.json"
        self.interrupt_after(1.5, 143, "check", "--q_len", "16,8k", "--d", "128", "--threads", "1", "--type", "flash",
                             "--verify", "full", "--json", where, number=signal.SIGTERM)
        results = self.validated(where.read_text())["results"]
        self.assertIn(16, {r["workload"]["q_len"] for r in results})
        self.assertNotIn("interrupted", {r["status"] for r in results})

    def test_bench_keeps_the_cases_before_a_long_launch(self):
        where = self.folder / "r.json"
        process = self.start("bench", "--b", "1", "--h", "1", "--q_len", "16,32k", "--d", "128", "--threads", "1", "--type",
                             "paper", "--min_time", "1ms", "--min_samples", "3", "--timeout", "200ms", "--json", where)
        self.wait_for((self.folder / "r.json.partial").exists)
        time.sleep(0.5)
        sent = time.monotonic()
        process.send_signal(signal.SIGHUP)
        out, _ = self.end(process, 129)
        self.assertLess(time.monotonic() - sent, ANSWER_S)
        results = self.validated(where.read_text())["results"]
        self.assertEqual([r["status"] for r in results], ["ok", "interrupted"])
        self.assertIn("pass", out)


class WaitingForOthers(FaultTest):
    def test_a_fifo_without_a_partner_ends_with_the_first_signal(self):
        os.mkfifo(self.folder / "fifo")
        for args in (("compare", "fifo", "fifo"), ("bench", "--config", "fifo"), ("bench", "--resume", "fifo"),
                     ("check", "--q_len", "16", "--d", "16", "--threads", "1", "--junit", "fifo")):
            process = self.start(*args)
            time.sleep(0.5 if args[0] != "check" else 3)
            self.assertIsNone(process.poll(), args)
            process.send_signal(signal.SIGTERM)
            out, _ = self.end(process, 143, seconds=10)
            if args[0] == "check":
                self.assertIn("0 failed", out)

    def test_a_fifo_with_a_partner_is_read_and_written(self):
        os.mkfifo(self.folder / "fifo")
        process = self.start("bench", "--config", "fifo", "--dry_run")
        time.sleep(0.3)
        (self.folder / "fifo").write_text('{"q_len": 16, "d": 16}')
        self.end(process, 0)
        process = self.start("info", "--as", "sm_80", "--json", "fifo")
        self.assertIn("{", (self.folder / "fifo").read_text())
        self.end(process, 0)

    def test_hanging_up_keeps_what_is_done(self):
        process = self.start("bench", *SWEEP, "--json", "r.json")
        self.wait_for((self.folder / "r.json.partial").exists)
        process.send_signal(signal.SIGHUP)
        self.end(process, 129)
        self.assertTrue(self.validated((self.folder / "r.json").read_text())["results"])


if __name__ == "__main__":
    unittest.main()
