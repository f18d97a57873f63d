"""Files that change while they are read, and files that are none: an error or a result, never a signal."""

import json
import os
import shutil
import socket
import threading
import time

from fault_harness import ONE, Trials, ending, main
from harness import DATA, read_safetensors

QUICK = ["--min_time", "1ms", "--min_samples", "3", "--timeout", "30ms"]
BASE = ["--b", "2", "--h", "4", "--d", "32"]
# How inputs are made: two versions of each, both valid, of other sizes.
BUNDLES = {
    "plain": ([*BASE, "--q_len", "100"], [*BASE, "--q_len", "140"]),
    "all that goes with it": tuple([*BASE, "--q_len", n, "--sinks", "random", "--alibi", "standard", "--bias", "random",
                                    "--mask", "random"] for n in ("60", "90")),
    "ragged": tuple(["--ragged", r, "--h", "4", "--d", "32"] for r in ("3q40_1q9s70", "2q50_5q1s30")),
    "pages": tuple([*BASE, "--q_len", "9", "--kv_len", n, "--page_size", "16"] for n in ("100", "200")),
    "ragged pages": tuple(["--ragged", r, "--h", "4", "--d", "32", "--page_size", "16"]
                          for r in ("3q40_1q9s70", "6q10s90_1q1s300")),
    "8 bits": tuple([*BASE, "--q_len", n, "--kv_dtype", "e4m3"] for n in ("60", "90")),
}
NOT_FILES = ("folder", "socket", "fifo", "loop", "dangling", "empty", "hole", "zero", "full", "unreadable")


class Made(Trials):
    def setUp(self):
        super().setUp()
        self.made = self.root / "made"

    def make(self):
        """Every kind of input, in two versions."""
        if self.made.exists():
            return
        self.made.mkdir()
        for name, versions in BUNDLES.items():
            for number, flags in enumerate(versions):
                self.expect(0, "forward", *flags, "--threads", "1", "--verify", "none", "--save_inputs",
                            self.made / f"{name}{number}", "--output", self.made / f"{name}{number}.out")
        for number, lengths in enumerate(("16,32", "16:64:+8")):
            self.expect(0, "bench", *ONE, "--q_len", lengths, *QUICK, "--json", self.made / f"report{number}")
            config = {"q_len": [16 + number, 24], "d": 16, "b": 1, "h": 1}
            (self.made / f"config{number}").write_text(json.dumps(config, indent=2 + 40 * number))
        for number in range(2):
            shutil.copy(DATA / "tiny_q.npy", self.made / f"npy{number}")

    def versions(self, kind):
        return [(self.made / f"{kind}{number}").read_bytes() for number in range(2)]


class Changing(Made):
    def change(self, path, versions):
        """One change of a file that somebody may be reading."""
        blob = self.random.choice(versions)
        what = self.random.choice(("shrink", "grow", "write", "rewrite", "replace", "remove"))
        try:
            if what == "shrink":
                os.truncate(path, self.random.randrange(len(blob)))
            elif what == "grow":
                with open(path, "ab") as file:
                    file.write(self.random.randbytes(self.random.randrange(1, 5000)))
            elif what == "write":
                with open(path, "r+b") as file:
                    file.seek(self.random.randrange(len(blob)))
                    file.write(self.random.randbytes(self.random.randrange(1, 16)))
            elif what == "rewrite":
                with open(path, "wb") as file:
                    file.write(blob)
            elif what == "replace":
                (path.parent / "new").write_bytes(blob)
                (path.parent / "new").rename(path)
            else:
                path.unlink()
        except FileNotFoundError:
            path.write_bytes(blob)

    def while_it_changes(self, path, versions, *args):
        """Runs the program, while the file changes and is whole again in turns."""
        path.write_bytes(self.random.choice(versions))
        ended = threading.Event()
        pause_s, whole = self.random.choice((0.004, 0.02, 0.1)), self.random.choice((0, 0.5, 0.9))

        def keep_changing():
            while not ended.wait(self.random.uniform(0, pause_s)):
                self.change(path, versions)
                if self.random.random() < whole:
                    path.write_bytes(self.random.choice(versions))

        changes = threading.Thread(target=keep_changing)
        process = self.start(*args, env=self.slow)
        changes.start()
        try:
            out, err = process.communicate(timeout=60)
        finally:
            ended.set()
            changes.join()
        said = f"{args}: {ending(process)}\n{out}\n{err}"
        self.assertIn(process.returncode, (0, 1, 2, 3), said)
        if process.returncode == 2:
            self.assertEqual(out, "", said)
            self.one_line(err)
        self.assertEqual(self.ours(), [], said)
        return process, said

    def begin(self):
        self.make()
        self.slow = {"LD_PRELOAD": str(self.preload("slow_files"))}

    def tensors(self, kind):
        words = self.random.choice((["forward", "--verify", "none"], ["forward", "--verify", "full"],
                                    ["bench", "--type", "flash,normal", *QUICK]))
        output = ["--output", "o.safetensors"] if words[0] == "forward" else ["--json", "r.json"]
        process, said = self.while_it_changes(self.folder / "in", self.versions(kind), words[0], "--input", "in",
                                              "--threads", "1", *words[1:], *output)
        self.count("tensors that change while they are read", ending(process))
        if process.returncode == 0 and words[0] == "forward":
            read_safetensors(self.folder / "o.safetensors")
        if process.returncode == 0 and words[0] == "bench":
            self.whole_json(self.folder / "r.json")

    def test_tensors(self):
        self.begin()
        for kind in BUNDLES:
            self.each(50, self.tensors, kind)

    def arrays(self):
        for name in ("k", "v"):
            shutil.copy(DATA / f"tiny_{name}.npy", self.folder / f"{name}.npy")
        versions = self.versions("npy")
        process, said = self.while_it_changes(self.folder / "q.npy", versions, "forward", "--q", "q.npy", "--k", "k.npy",
                                              "--v", "v.npy", "--threads", "1", "--output", "o.safetensors")
        self.count("arrays (.npy) that change while they are read", ending(process))

    def test_arrays(self):
        self.begin()
        self.each(50, self.arrays)

    def others_results(self):
        kind = self.random.choice(list(BUNDLES))
        (self.folder / "in").write_bytes(self.versions(kind)[0])
        outs = [(self.made / f"{kind}{number}.out").read_bytes() for number in range(2)]
        process, said = self.while_it_changes(self.folder / "out", outs, "check", "--input", "in", "--external", "out",
                                              "--threads", "1", "--json", "c.json")
        self.count("others' results that change while they are read", ending(process))

    def test_others_results(self):
        self.begin()
        self.each(50, self.others_results)

    def reports(self):
        versions = self.versions("report")
        (self.folder / "other.json").write_bytes(versions[0])
        words = self.random.choice((["compare", "other.json", "in"], ["compare", "in", "--by", "type"],
                                    ["bench", *ONE, "--q_len", "16,32", *QUICK, "--resume", "in", "--json", "r.json"]))
        process, said = self.while_it_changes(self.folder / "in", versions, *words)
        self.count("reports that change while they are read", ending(process))

    def test_reports(self):
        self.begin()
        self.each(60, self.reports)

    def configs(self):
        process, said = self.while_it_changes(self.folder / "in", self.versions("config"), "bench", "--config", "./in",
                                              "--type", "flash", "--threads", "1", *QUICK, "--json", "r.json")
        self.count("configs that change while they are read", ending(process))

    def test_configs(self):
        self.begin()
        self.each(30, self.configs)


class NotFiles(Made):
    def place(self, what, path):
        if what == "folder":
            path.mkdir()
        elif what == "socket":
            server = socket.socket(socket.AF_UNIX)
            self.addCleanup(server.close)
            os.chdir(path.parent)  # the names of sockets are short
            server.bind(path.name)
            os.chdir("/")
        elif what == "fifo":
            os.mkfifo(path)
        elif what in ("loop", "dangling", "zero", "full"):
            path.symlink_to({"loop": path.name, "dangling": "nothing", "zero": "/dev/zero", "full": "/dev/full"}[what])
        else:
            path.write_bytes(b"" if what != "unreadable" else self.versions("plain")[0])
            if what == "hole":
                os.truncate(path, 1 << 40)
            if what == "unreadable":
                path.chmod(0)

    def readers(self, name):
        inputs = [["forward", "--input", name], ["check", "--input", name],
                  ["check", "--input", self.made / "plain0", "--external", name],
                  ["forward", "--q", name, "--k", name, "--v", name], ["forward", "--ragged", name, "--h", "4", "--d", "32"],
                  *(["forward", *BASE, "--q_len", "20", flag, name] for flag in ("--mask", "--sinks", "--alibi", "--bias"))]
        return [*inputs, ["bench", "--config", name], ["bench", "--resume", name], ["compare", name, name]]

    def refused(self, what, args, user):
        """By one line and exit 2. Only a FIFO is worth waiting for."""
        process = self.start(*args, **user)
        if what == "fifo" and args[0] in ("bench", "compare"):
            time.sleep(0.3)
            process.terminate()
        out, err = process.communicate(timeout=30)
        self.count(f"{what} in the place of a file", ending(process))
        if process.returncode != 143 or what != "fifo":
            self.assertEqual((process.returncode, out), (2, ""), f"{args}: {err}")
            self.assertEqual(len(err.splitlines()), 1, err)

    def test_what_is_no_file(self):
        self.make()
        self.made.chmod(0o755)
        for what in NOT_FILES:
            user = self.nobody() if what == "unreadable" else {}
            self.begin_trial()
            self.place(what, self.folder / "in")
            for args in self.some(self.readers("in")):
                with self.subTest(what=what, args=args):
                    self.refused(what, args, user)

    def named(self):
        """Names that are no text: the file is read and written under its own name, and shown on one line."""
        alphabet = [b"\n", b"\r", b"\x1b[31m", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\t", b" ", b"'", b'"', b"\\", b"|", b"%s",
                    "é".encode(), b"a", b"\x7f", b"\xe2\x80\xae"]
        name = b"x" + b"".join(self.random.choices(alphabet, k=self.random.randrange(1, 12))) + b".safetensors"
        out = name.replace(b"x", b"y", 1)
        shutil.copy(self.made / "plain0", os.path.join(os.fsencode(self.folder), name))
        for args in (["forward", "--input", name, "--threads", "1", "--output", out, "--json", "r.json", "--md", "r.md"],
                     ["check", "--input", name, "--external", out, "--threads", "1", "--json", "c.json", "--junit", "c.xml"],
                     ["compare", name, name], ["bench", "--config", name]):
            process = self.start(*args)
            shown, err = process.communicate(timeout=60)
            self.count("names with newlines, escapes and bad UTF-8", ending(process))
            self.assertEqual(process.returncode, 0 if args[0] in ("forward", "check") else 2, f"{args}: {err}")
            self.assertNotRegex(shown + err, r"[\x00-\x09\x0b-\x1f\x7f]", args)
            self.assertLessEqual(len(err.splitlines()), 1, err)
        for path in ("r.json", "c.json"):
            self.whole_json(self.folder / path)

    def test_names_that_are_no_text(self):
        self.make()
        self.each(25, self.named)


if __name__ == "__main__":
    main()
