"""A disk that fills, turns read-only or goes away at any moment takes nothing with it that was there."""

import resource
import shutil
import subprocess
import time

from fault_harness import CASES, ONE, SWEEP, Trials, ending, main
from harness import read_safetensors

OUTPUTS = {"r.json": "older json", "r.csv": "older csv", "r.md": "older md"}
BENCH = ["bench", *SWEEP]


class Disks(Trials):
    @classmethod
    def setUpClass(cls):
        cls.lasts_s = 0

    def setUp(self):
        super().setUp()
        self.mounted = []
        if not self.lasts_s:
            before = time.monotonic()
            self.expect(0, *BENCH, "--json", "r.json")
            type(self).lasts_s = time.monotonic() - before

    def mount(self, size):
        """A file system of so many KiB."""
        where = self.folder / "disk"
        where.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k,mode=755", "none", where], capture_output=True)
        if done.returncode != 0:
            self.skipTest(f"no file system of one's own: {done.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", where], capture_output=True)
        self.mounted.append(where)
        return where

    def cover(self, where):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", where], capture_output=True)
        if done.returncode != 0:
            self.skipTest(f"no file system of one's own: {done.stderr.decode().strip()}")
        self.mounted.append(where)

    def grow(self, where):
        subprocess.run(["mount", "-o", "remount,size=4m", where], check=True)

    def unmount(self):
        while self.mounted:
            subprocess.run(["umount", "-l", self.mounted.pop()], capture_output=True)

    def begin_trial(self):
        self.unmount()
        super().begin_trial()

    def begin(self, where, older):
        if older:
            for name, text in OUTPUTS.items():
                (where / name).write_text(text)
        return self.start(*BENCH, "--json", where / "r.json", "--csv", where / "r.csv", "--md", where / "r.md")

    def expect_kept(self, where, older, process, said):
        """Each output is the older one, or new and whole; exit 0 says that all are new."""
        whole = {"r.json": self.whole_json, "r.csv": self.whole_csv, "r.md": lambda p: p.read_text()}
        for name, read in whole.items():
            path = where / name
            if older and path.read_text() == OUTPUTS[name]:
                self.assertNotEqual(process.returncode, 0, said)
            elif path.exists():
                read(path)
            else:
                self.assertFalse(older, said)
                self.assertNotEqual(process.returncode, 0, said)
        partial = where / "r.json.partial"
        if partial.exists():
            self.whole_json(partial)
        return partial.exists() or ((where / "r.json").exists() and (where / "r.json").read_text() != OUTPUTS["r.json"])

    def ended(self, fault, process):
        out, err = process.communicate(timeout=60)
        said = f"{ending(process)}\n{out}\n{err}"
        self.count(fault, ending(process))
        self.assertIn(process.returncode, (0, 1, 2), said)
        if process.returncode == 1:
            self.assertEqual(out.count("pass"), CASES, said)  # the table is there
        if process.returncode:
            self.assertRegex(self.one_line(err), "r\\.(json|csv|md)|disk", said)
        return said

    def completed(self, where, kept, said):
        if (where / "r.json").exists() and not kept:
            (where / "r.json").unlink()
        self.expect(0, *BENCH, "--resume" if kept else "--json", where / "r.json")
        self.assertEqual(len(self.whole_json(where / "r.json")["results"]), CASES, said)
        self.assertEqual(self.ours(where), [], said)

    def fills(self):
        where = self.mount(self.random.choice((8, 16, 24, 32, 40, 48, 64, 96)))
        older = self.random.random() < 0.5
        process = self.begin(where, older)
        said = self.ended("disk full", process)
        kept = self.expect_kept(where, older, process, said)
        self.grow(where)
        self.completed(where, kept, said)

    def test_a_full_disk(self):
        self.each(20, self.fills)

    def fills_meanwhile(self):
        where = self.mount(400)
        process = self.begin(where, False)
        time.sleep(self.random.uniform(0, self.lasts_s))
        try:
            (where / "of others").write_bytes(bytes(400 << 10))
        except OSError:
            pass
        said = self.ended("disk filled by others meanwhile", process)
        kept = self.expect_kept(where, False, process, said)
        (where / "of others").unlink()
        self.completed(where, kept, said)

    def test_others_fill_the_disk(self):
        self.each(20, self.fills_meanwhile)

    def turns_read_only(self):
        """A mount of nothing over the folder: mounted anew read-only it cannot be while a run holds its lock."""
        where = self.folder / "disk"
        where.mkdir()
        older = self.random.random() < 0.5
        process = self.begin(where, older)
        time.sleep(self.random.uniform(0, self.lasts_s))
        self.cover(where)
        said = self.ended("folder turned read-only", process)
        self.unmount()
        self.completed(where, self.expect_kept(where, older, process, said), said)

    def test_a_disk_that_turns_read_only(self):
        self.each(20, self.turns_read_only)

    def goes_away(self):
        where = self.folder / "disk"
        where.mkdir()
        process = self.begin(where, False)
        time.sleep(self.random.uniform(0, self.lasts_s))
        gone = self.folder / "gone"
        where.rename(gone)
        said = self.ended("folder renamed away", process)
        if (gone / "r.json").exists():
            self.whole_json(gone / "r.json")
        self.assertFalse(where.exists(), said)
        gone.rename(where)
        self.completed(where, self.expect_kept(where, False, process, said), said)

    def test_a_folder_that_goes_away(self):
        self.each(20, self.goes_away)

    def is_deleted(self):
        where = self.folder / "disk"
        where.mkdir()
        process = self.begin(where, False)
        time.sleep(self.random.uniform(0, self.lasts_s))
        shutil.rmtree(where, ignore_errors=True)
        shutil.rmtree(where, ignore_errors=True)
        self.ended("folder deleted", process)

    def test_a_folder_that_is_deleted(self):
        self.each(20, self.is_deleted)

    def may_grow_no_more(self):
        where = self.folder / "disk"
        where.mkdir()
        older = self.random.random() < 0.5
        process = self.begin(where, older)
        time.sleep(self.random.uniform(0, self.lasts_s))
        most = self.random.randrange(40000)
        try:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        except ProcessLookupError:
            pass
        said = self.ended("`ulimit -f` meanwhile", process)
        self.completed(where, self.expect_kept(where, older, process, said), said)

    def test_a_limit_of_file_sizes(self):
        self.each(20, self.may_grow_no_more)

    def others(self):
        """What the other commands write, on a disk of a size between nothing and enough."""
        (command, words, output, read), size = self.random.choice((
            ("check", [*ONE, "--q_len", "16:200:+16", "--json", "c.json", "--junit"], "c.xml", None),
            ("forward", [*ONE, "--q_len", "700", "--output"], "o.safetensors", read_safetensors),
            ("compare", ["base.json", "base.json", "--md"], "d.md", None))), self.random.choice((4, 8, 16, 24, 32, 60, 100))
        if command == "compare":
            self.expect(0, "bench", *ONE, "--q_len", "16,32", "--min_time", "1ms", "--timeout", "50ms", "--json", "base.json")
        where = self.mount(size)
        (where / output).write_text("older")
        process = self.start(command, *words, where / output)
        out, err = process.communicate(timeout=60)
        said = f"{command}: {ending(process)}\n{out}\n{err}"
        self.count(f"disk full for {command}", ending(process))
        self.assertIn(process.returncode, (0, 1, 2, *([3] if command == "compare" else [])), said)  # 3: disturbed
        if process.returncode == 3:
            self.assertTrue((where / output).read_text(), said)
        elif process.returncode:
            self.assertEqual((where / output).read_text(), "older", said)
            self.assertIn(output, self.one_line(err), said)
        elif read:
            read(where / output)
        self.assertEqual(self.ours(where), [], said)

    def test_a_full_disk_for_other_commands(self):
        self.each(30, self.others)

    def tearDown(self):
        self.unmount()


if __name__ == "__main__":
    main()
