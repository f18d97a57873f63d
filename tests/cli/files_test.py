"""Files that lie are refused by name; files that exist stay as they are until a good one is there."""

import json
import math
import os
import pathlib
import struct
import subprocess
import threading
import unittest
import zipfile

from harness import DATA, FAST, PROGRAM, TINY, CliTest, read_safetensors, write_safetensors

GOOD = (DATA / "tiny_f32.safetensors").read_bytes()


def parts(blob):
    (size,) = struct.unpack("<Q", blob[:8])
    return json.loads(blob[8 : 8 + size]), blob[8 + size :]


def with_header(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class Inputs(CliTest):
    def refuse_blob(self, blob, says=(), name="bad.safetensors"):
        (self.folder / name).write_bytes(blob)
        return self.refuse("forward", "--input", name, says=[name, *says])

    def test_headers_that_lie(self):
        header, data = parts(GOOD)

        def changed(name, **fields):
            h = json.loads(json.dumps(header))
            h[name].update(fields)
            return with_header(h, data)

        begin, end = header["q"]["data_offsets"]
        self.refuse_blob(changed("q", data_offsets=[begin, end - 4]), ["'q'"])
        self.refuse_blob(changed("q", data_offsets=[end, begin]), ["'q'"])
        self.refuse_blob(changed("q", data_offsets=[-4, end]), ["'q'"])
        self.refuse_blob(changed("q", data_offsets=[begin, 2**63]), ["'q'"])
        self.refuse_blob(changed("q", data_offsets=[0, 2**64 - 1]), ["'q'"])
        self.refuse_blob(changed("q", data_offsets=[begin, float(end)]), ["'q'"])
        self.refuse_blob(changed("q", data_offsets=header["k"]["data_offsets"]), ["'q'"])
        self.refuse_blob(changed("q", shape=[2**32, 2**32, 5, 8]), ["'q'"])
        self.refuse_blob(changed("q", shape=[2, 4, 5]), ["'q'"])
        self.refuse_blob(changed("q", shape=[2, 4, 0, 8], data_offsets=[begin, begin]))
        self.refuse_blob(changed("q", dtype="F64"), ["'q'"])
        self.refuse_blob(changed("q", dtype="nonsense"), ["'q'"])
        self.refuse_blob(changed("q", dtype=3), ["'q'"])

    def test_headers_that_are_broken(self):
        header, data = parts(GOOD)
        self.refuse_blob(b"")
        self.refuse_blob(b"\0\0\0")
        self.refuse_blob(struct.pack("<Q", 2**63) + GOOD[8:])
        self.refuse_blob(struct.pack("<Q", 2**64 - 1) + GOOD[8:])
        self.refuse_blob(GOOD[:-4])
        self.refuse_blob(GOOD + b"more")
        self.refuse_blob(with_header(b"{" * 20, data))
        self.refuse_blob(with_header(b'{"q":' * 100000, data))
        self.refuse_blob(with_header(b"[]", data))
        text = json.dumps(header)
        self.refuse_blob(with_header(text.replace('"k":', '"q":').encode(), data), ["'q'"])

    def test_missing_tensors_and_files(self):
        header, data = parts(GOOD)
        del header["v"]
        # Its bytes are now nobody's: a gap is a lie too, or the tensor is missing; either way it is named.
        self.refuse_blob(with_header(header, data))
        self.refuse("forward", "--input", "missing.safetensors", says="missing.safetensors")
        self.refuse("forward", "--input", self.folder, says=str(self.folder))
        self.refuse("forward", "--q", DATA / "tiny_q.npy", says="--k")

    def test_a_visible_nan_is_named_by_its_index_and_a_hidden_one_is_not_seen(self):
        header, data = parts(GOOD)
        begin, _ = header["v"]["data_offsets"]
        mask_begin, _ = header["mask"]["data_offsets"]
        kept = data[mask_begin : mask_begin + 7]
        visible, hidden = kept.index(1), kept.index(0)
        nan = struct.pack("<f", float("nan"))
        for key, code in ((visible, 2), (hidden, 0)):
            at = begin + 4 * (8 * key + 3)
            blob = with_header(header, data[:at] + nan + data[at + 4 :])
            if code == 2:
                self.refuse_blob(blob, ["[0, 0, %d, 3]" % key, "NaN"])
            else:
                (self.folder / "hidden.safetensors").write_bytes(blob)
                out = self.expect(0, "backward", "--input", "hidden.safetensors").stdout
                self.assertNotIn("nan", out.lower())

    def test_a_nan_in_a_query_that_sees_nothing_changes_nothing(self):
        # Three queries, two keys, causal: query 0 is before the first key. Batch 1 has no key at all.
        nan = float("nan")
        q = [nan, nan, 1.0, 2.0, -1.0, 0.5] + [nan] * 6
        shape = [2, 1, 3, 2]
        keys = struct.pack("<8f", *[0.5, -1.0, 2.0, 0.25] * 2)
        rows = struct.pack("<12f", *q)
        tensors = {
            "q": ("F32", shape, rows),
            "do": ("F32", shape, rows),
            "k": ("F32", [2, 1, 2, 2], keys),
            "v": ("F32", [2, 1, 2, 2], keys),
            "mask": ("U8", [2, 2], bytes([1, 1, 0, 0])),
        }
        write_safetensors(self.folder / "hidden.safetensors", tensors)
        for kind in ("flash", "normal", "paper"):
            self.expect(0, "backward", "--causal", "--input", "hidden.safetensors", "--type", kind,
                        "--output", "out.safetensors")
            out = read_safetensors(self.folder / "out.safetensors")
            for name, (_, _, blob) in out.items():
                values = struct.unpack(f"<{len(blob) // 4}f", blob)
                self.assertFalse(any(map(math.isnan, values)), (kind, name, values))
            o = struct.unpack("<12f", out["o"][2])
            self.assertEqual(o[:2] + o[6:], (0.0,) * 8, kind)
            self.assertEqual(o[2:4], (0.5, -1.0), f"{kind}: query 1 sees key 0 alone")
        del tensors["mask"]
        write_safetensors(self.folder / "seen.safetensors", tensors)
        self.refuse("backward", "--causal", "--input", "seen.safetensors",
                    says=["'q'", "NaN", "[1, 0, 1, 0]"])

    def test_a_tensor_that_is_not_read_is_named(self):
        tensors = read_safetensors(DATA / "tiny_f32.safetensors")
        tensors["gate"] = ("F32", [7], struct.pack("<7f", *range(7)))
        write_safetensors(self.folder / "gated.safetensors", tensors)
        for command in ("forward", "backward", "check", "bench"):
            fast = FAST if command == "bench" else []
            done = self.expect(0, command, "--input", "gated.safetensors", "--json", "r.json", *fast)
            notes = [line for line in done.stderr.splitlines() if "gated.safetensors holds" in line]
            self.assertEqual(len(notes), 1, done.stderr)
            self.assertIn("'gate', which is not read", notes[0])
            results = json.loads((self.folder / "r.json").read_text())["results"]
            named = [r for r in results if any("'gate'" in w for w in r["warnings"])]
            self.assertTrue(named, command)
        self.expect(0, "forward", "--input", DATA / "tiny_f32.safetensors", "--output", "o.safetensors")
        external = dict(read_safetensors(self.folder / "o.safetensors"), dgate=tensors["gate"])
        write_safetensors(self.folder / "external.safetensors", external)
        done = self.expect(0, "check", "--input", DATA / "tiny_f32.safetensors", "--external",
                           "external.safetensors")
        self.assertIn("external.safetensors holds 'dgate', which is not read", done.stderr)
        done = self.expect(0, "check", "--input", DATA / "tiny_f32.safetensors", "--external",
                           "o.safetensors")
        self.assertNotIn("not read", done.stderr)

    def test_headers_of_many_tensors_take_no_time_to_speak_of(self):
        def entries(count, step):
            return {f"layers.{i}.w": {"dtype": "F32", "shape": [1], "data_offsets": [at, at + 4]}
                    for i in range(count) for at in [step * i]}

        header, data = parts(GOOD)
        many = entries(8000, 4)
        for entry in many.values():
            entry["data_offsets"] = [at + len(data) for at in entry["data_offsets"]]
        (self.folder / "many.safetensors").write_bytes(
            with_header({**header, **many}, data + bytes(4 * len(many))))
        before = os.times().children_user
        done = self.expect(0, "forward", "--input", "many.safetensors")
        self.assertIn("'layers.7.w' and 7992 more, which are not read", done.stderr)
        done = self.refuse_blob(with_header(entries(100000, 2), bytes(200002)), ["overlaps"])
        self.assertLess(os.times().children_user - before, 10)  # 0.3 s; quadratic: ten minutes

    def test_formats_that_are_not_read_are_named(self):
        with zipfile.ZipFile(self.folder / "qkv.npz", "w") as archive:
            for name in "qkv":
                archive.write(DATA / f"tiny_{name}.npy", f"{name}.npy")
        index = {"metadata": {}, "weight_map": {"q": "model-1-of-2.safetensors", "k": "model-2-of-2.safetensors"}}
        (self.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
        files = {"qkv.npz": [".npz archive", "--q, --k and --v"],
                 "model.safetensors.index.json": ["index of a sharded checkpoint", "'model-2-of-2.safetensors'"]}
        for name, says in files.items():
            self.refuse("forward", "--input", name, says=[name, *says])
            self.refuse("forward", "--q", name, "--k", name, "--v", name, says=[name, *says])
            self.refuse("check", "--input", DATA / "tiny_f32.safetensors", "--external", name,
                        says=[name, *says])

    def test_broken_npy_files(self):
        good = (DATA / "tiny_k.npy").read_bytes()

        def refuse(blob):
            (self.folder / "bad.npy").write_bytes(blob)
            self.refuse("forward", "--q", DATA / "tiny_q.npy", "--k", "bad.npy", "--v",
                        DATA / "tiny_v.npy", says="bad.npy")

        refuse(b"")
        refuse(good[:40])
        refuse(good[:-1])
        refuse(good + b"x")
        refuse(good.replace(b"<f4", b"<f8"))
        refuse(good.replace(b"<f4", b">f4"))
        refuse(good.replace(b"False", b"True ", 1))
        refuse(good.replace(b"(2, 2,", b"(2,-2,"))

    def test_masks_that_do_not_fit(self):
        self.refuse("forward", *TINY, "--mask", DATA / "tiny_mask.npy", says="tiny_mask.npy")
        self.refuse("forward", *TINY, "--mask", "rnadom", says="rnadom")


class Outputs(CliTest):
    def test_paths_that_cannot_be_written_are_found_before_the_work_starts(self):
        (self.folder / "file").write_text("x")
        huge = ["--q_len", "16k"]  # would take minutes
        for flag, commands in {
            "--json": ("forward", "backward", "bench", "check"),
            "--csv": ("bench",),
            "--md": ("bench",),
            "--bmf": ("bench",),
            "--output": ("forward", "backward"),
            "--junit": ("check",),
        }.items():
            for command in commands:
                for path in ("missing/r", "file/r", self.folder, "/proc/nothing/r"):
                    self.refuse(command, *huge, flag, path, says=str(path), timeout=20)
        self.refuse("info", "--json", "missing/r", says="missing/r")

    def test_two_outputs_in_one_file_and_an_output_over_an_input(self):
        self.refuse("forward", *TINY, "--json", "r", "--output", "r", says=["--output", "--json"])
        self.refuse("forward", *TINY, "--json", "-", "--output", "-", says="stdout")
        self.refuse("check", "--json", "r", "--junit", "r", says=["--json", "--junit"])
        self.refuse("check", "--junit", "-", "--json", "/dev/stdout", says=["--junit", "--json", "stdout"])
        bundle = self.folder / "in.safetensors"
        bundle.write_bytes(GOOD)
        for flag in ("--output", "--save_inputs", "--trace", "--json", "--csv", "--md", "--bmf"):
            for path in ("in.safetensors", "./in.safetensors"):
                command = "bench" if flag in ("--md", "--bmf") else "forward"
                self.refuse(command, "--input", bundle, flag, path, says="replace an input")
        for flag in ("--junit", "--json"):
            self.refuse("check", "--input", DATA / "tiny_f32.safetensors", "--external", bundle, flag,
                        bundle, says="replace an input")
        self.assertEqual(bundle.read_bytes(), GOOD)
        config = self.folder / "c.json"
        config.write_text('{"d": 8}')
        self.refuse("bench", "--config", config, "--json", "c.json", says="replace an input")
        self.assertEqual(config.read_text(), '{"d": 8}')
        self.refuse("bench", *TINY, "--json", "new", "--csv", "./new", says=["--json", "--csv"])
        self.refuse("check", "--list", "--json", "new", says="--list runs nothing")

    def test_a_report_that_is_compared_or_resumed_is_not_replaced_by_something_else(self):
        self.expect(0, "bench", *TINY, *FAST, "--json", "r.json")
        report = (self.folder / "r.json").read_bytes()
        self.refuse("compare", "r.json", "r.json", "--json", "./r.json", says="replace an input")
        self.refuse("compare", "r.json", "--by", "type", "--md", "r.json", says="replace an input")
        for flag in ("--csv", "--md", "--trace"):
            self.refuse("bench", *TINY, "--resume", "r.json", flag, "r.json", says=flag)
            self.refuse("bench", *TINY, "--resume", "r.json", "--json", "new.json", flag, "r.json",
                        says="replace an input")
        self.assertEqual((self.folder / "r.json").read_bytes(), report)

    def test_results_on_stdout_leave_the_summary_to_stderr(self):
        done = subprocess.run([PROGRAM, "forward", *TINY, "--output", "-"], capture_output=True,
                              env=self.environment(), timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"verdict", done.stderr)
        (self.folder / "o.safetensors").write_bytes(done.stdout)
        self.assertEqual(set(read_safetensors(self.folder / "o.safetensors")), {"o", "lse"})

    def test_an_unwritable_folder(self):
        folder = self.folder / "locked"
        folder.mkdir()
        folder.chmod(0o555)
        if os.access(folder, os.W_OK):
            self.skipTest("this user may write anywhere")
        self.refuse("bench", *TINY, "--json", "locked/r.json", says="locked")

    def test_existing_files_survive_bad_input_and_failures(self):
        for name in ("r.json", "r.csv", "o.safetensors"):
            (self.folder / name).write_text("precious")
        outputs = ["--json", "r.json", "--csv", "r.csv"]
        self.refuse("bench", "--b", "0", *outputs)
        self.refuse("bench", "--input", "missing.safetensors", *outputs)
        self.refuse("forward", "--input", "missing.safetensors", "--output", "o.safetensors")
        self.refuse("forward", "--backend", "cuda", "--output", "o.safetensors", code=3)
        self.expect(0, "bench", "--dry_run", *TINY, *outputs)
        for name in ("r.json", "r.csv", "o.safetensors"):
            self.assertEqual((self.folder / name).read_text(), "precious", name)
        self.assertEqual(len(list(self.folder.iterdir())), 3)

    def test_good_output_replaces_a_file_and_follows_a_link(self):
        (self.folder / "real.json").write_text("old")
        (self.folder / "link.json").symlink_to("real.json")
        self.expect(0, "bench", *TINY, *FAST, "--json", "link.json")
        self.assertTrue((self.folder / "link.json").is_symlink())
        self.validated((self.folder / "real.json").read_text())

    def test_a_full_device_is_an_error_and_not_a_crash(self):
        done = self.run_program("forward", *TINY, "--json", "/dev/full")
        self.assertIn(done.returncode, (1, 2))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn("/dev/full", done.stderr)
        with open("/dev/full", "w") as full:
            done = self.run_program("forward", *TINY, stdout=full)
        self.assertIn(done.returncode, (1, 2))
        self.assertRegex(done.stderr, r"^flashbench: .*stdout.*\n$")

    def test_devices_are_written_to_and_not_replaced(self):
        self.expect(0, "forward", *TINY, "--json", "/dev/null", "--output", "/dev/null")
        self.assertTrue(pathlib.Path("/dev/null").is_char_device())

    def test_a_fifo_is_written_to_and_not_replaced(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        got = []
        reader = threading.Thread(target=lambda: got.append(fifo.read_text()))
        reader.start()
        self.expect(0, "forward", *TINY, "--json", "fifo")
        reader.join(30)
        self.validated(got[0])
        self.assertTrue(fifo.is_fifo())


class Streams(CliTest):
    def test_a_report_on_stdout_moves_the_table_to_stderr(self):
        done = self.expect(0, "bench", *TINY, *FAST, "--json", "-")
        self.validated(done.stdout)
        self.assertIn("flash", done.stderr)
        done = self.expect(0, "bench", *TINY, *FAST, "--csv", "-")
        self.assertEqual(len(done.stdout.splitlines()), 3)
        done = self.expect(0, "bench", *TINY, *FAST)
        self.assertIn("flash", done.stdout)

    def test_two_reports_on_stdout_are_refused(self):
        self.refuse("bench", "--json", "-", "--csv", "-", says=["--json", "--csv"])
        self.refuse("bench", "--json", "r", "--md", "r", says=["--json", "--md", "r"])

    def test_neither_colour_nor_bar_where_there_is_no_terminal(self):
        for env in ({}, {"NO_COLOR": "1"}, {"TERM": "xterm-256color"}):
            done = self.expect(0, "bench", *TINY, *FAST, env=env)
            self.assertNotIn("\x1b", done.stdout + done.stderr)
            self.assertNotIn("\r", done.stdout + done.stderr)

    def test_a_reader_that_leaves_is_no_error_message(self):
        for sigpipe_ignored in (False, True):
            done = subprocess.run(
                ["bash", "-c", f"'{PROGRAM}' check --list | head -1"],
                capture_output=True, text=True, env=self.environment(), cwd=self.folder,
                restore_signals=not sigpipe_ignored, timeout=60,
            )
            self.assertEqual(len(done.stdout.splitlines()), 1)
            self.assertEqual(done.stderr, "")


if __name__ == "__main__":
    unittest.main()
