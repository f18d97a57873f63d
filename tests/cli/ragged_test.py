"""Ragged batches: lengths as words and in files, packed tensors, what does not fit is named."""

import json
import struct
import unittest

from harness import CliTest, DATA, FAST, read_safetensors, write_safetensors

HEADS = ["--h", "4", "--h_kv", "2", "--d", "16"]


def ends(*numbers, dtype="I32"):
    return (dtype, [len(numbers)], struct.pack(f"<{len(numbers)}{'i' if dtype == 'I32' else 'q'}", *numbers))


class Ragged(CliTest):
    def bundle(self, queries=9, keys=7, **more):
        """q, k, v of so many rows together, and what `more` says; its name."""
        tensors = {"q": ("F32", [queries, 4, 16], bytes(4 * queries * 4 * 16))}
        tensors |= {name: ("F32", [keys, 2, 16], bytes(4 * keys * 2 * 16)) for name in "kv"}
        write_safetensors(self.folder / "in.safetensors", {**tensors, **more})
        return "in.safetensors"

    def test_lengths_are_said_and_told(self):
        run = ["bench", *HEADS, *FAST, "--type", "flash,normal", "--causal", "--ragged"]
        self.expect(0, *run, "2q20_3q1s70,q33", "--json", "r.json", "--csv", "r.csv")
        results = json.loads((self.folder / "r.json").read_text())["results"]
        self.assertEqual([r["workload"]["ragged"] for r in results], ["2q20_3q1s70"] * 2 + ["q33"] * 2)
        self.assertEqual([r["workload"]["b"] for r in results], [5, 5, 1, 1])
        self.assertEqual(results[0]["workload"]["q_len"], 20)
        self.assertIn("--ragged 2q20_3q1s70", results[0]["command"])
        self.assertNotIn("--q_len", results[0]["command"])
        self.assertIn("2q20_3q1s70", (self.folder / "r.csv").read_text())
        pairs = 4 * (2 * 20 * 21 / 2 + 3 * 70)
        self.assertEqual(results[0]["flop_visible"], 4 * 16 * pairs)

    def test_what_the_words_may_be(self):
        for word, says in (("q0", "a count or a length is 0"), ("2q1s0", "a count or a length is 0"),
                           ("0q1", "a count or a length is 0"), ("q3000000k", "at the most"),
                           ("99999q1", "at the most"), ("2q", "lengths such as 2q2k_32q1s1k"),
                           ("nofile", "'nofile' is no file"),
                           ("nofile.safetensors", ["nofile.safetensors", "cannot be read"])):
            self.refuse("forward", *HEADS, "--ragged", word, says=says)
        for flag in ("--b", "--q_len", "--kv_len"):
            self.refuse("forward", *HEADS, "--ragged", "q5", flag, "3", says=["--ragged", f"leave {flag} out"])
        self.refuse("forward", *HEADS, "--ragged", "q5", "--mask", "random", says="--ragged and --mask")
        self.refuse("forward", *HEADS, "--ragged", "q5", "--bias", "random", says="--ragged and --bias")

    def test_a_file_without_lengths_is_told_what_would_be_right(self):
        (self.folder / "folder").mkdir()
        (self.folder / "empty").write_bytes(b"")
        (self.folder / "text").write_text("2q3\n")
        (self.folder / "noise").write_bytes(bytes(range(200, 256)) * 20)
        write_safetensors(self.folder / "keys.safetensors", {"cu_seqlens_k": ends(0, 5)})
        for file, says in ((DATA / "tiny_q.npy", "no tensor 'cu_seqlens_q'; it holds one tensor without a name"),
                           ("keys.safetensors", "no tensor 'cu_seqlens_q'; it holds 'cu_seqlens_k'"),
                           ("folder", "is a folder"), ("empty", "is empty"), ("text", "has only 4 bytes"),
                           ("noise", "is this a .safetensors file?"), ("no.safetensors", "No such file")):
            line = self.refuse("forward", *HEADS, "--ragged", file, says=[str(file), says])
            self.assertIn("--ragged takes lengths such as 2q2k_32q1s1k, or a .safetensors file that holds", line)

    def test_lengths_are_no_output(self):
        write_safetensors(self.folder / "lengths.safetensors", {"cu_seqlens_q": ends(0, 4, 9)})
        self.refuse("forward", *HEADS, "--ragged", "lengths.safetensors", "--output", "lengths.safetensors",
                    says="replace an input")

    def test_files_give_back_what_they_were_given(self):
        asked = [*HEADS, "--ragged", "2q20_3q1s70_q9s4", "--causal", "--sinks", "random", "--do", "random"]
        self.expect(0, "backward", *asked, "--save_inputs", "in.safetensors", "--output", "out.safetensors")
        inputs, outputs = (read_safetensors(self.folder / f"{name}.safetensors") for name in ("in", "out"))
        self.assertEqual(inputs["q"][:2], ("F32", [52, 4, 16]))
        self.assertEqual(inputs["k"][:2], ("F32", [254, 2, 16]))
        self.assertEqual(inputs["cu_seqlens_q"], ends(0, 20, 40, 41, 42, 43, 52))
        self.assertEqual(inputs["cu_seqlens_k"], ends(0, 20, 40, 110, 180, 250, 254))
        self.assertEqual(outputs["o"][:2], ("F32", [52, 4, 16]))
        self.assertEqual(outputs["lse"][:2], ("F32", [52, 4]))
        self.assertEqual(outputs["dk"][:2], ("F32", [254, 2, 16]))
        check = ["check", "--input", "in.safetensors", "--external", "out.safetensors"]
        self.expect(0, *check, "--causal")
        self.expect(1, *check)
        self.expect(0, "backward", "--input", "in.safetensors", "--causal", "--output", "again.safetensors")
        again = read_safetensors(self.folder / "again.safetensors")
        for name in ("o", "lse"):
            self.assertEqual(again[name], outputs[name])
        # The lengths alone, with tensors of their own file.
        for name in ("q", "k", "v"):
            write_safetensors(self.folder / f"{name}.safetensors", {name: inputs[name]})
        lengths = {name: inputs[name] for name in ("cu_seqlens_q", "cu_seqlens_k")}
        write_safetensors(self.folder / "lengths.safetensors", lengths)
        files = ["--q", "q.safetensors", "--k", "k.safetensors", "--v", "v.safetensors"]
        by_file = [*files, "--ragged", "lengths.safetensors"]
        self.expect(0, "check", *by_file, "--type", "flash", "--json", "r.json")
        (of_flash, *_) = json.loads((self.folder / "r.json").read_text())["results"]
        self.assertEqual(of_flash["workload"]["ragged"], "2q20_3q1s70_q9s4")
        self.assertIn("; ragged=lengths.safetensors", of_flash["workload"]["input"])
        self.assertIn("--ragged lengths.safetensors", of_flash["command"])
        self.expect(0, "check", *files, "--ragged", "2q20_3q1s70_q9s4", "--type", "flash")
        self.expect(0, "forward", *HEADS, "--ragged", "lengths.safetensors")

    def test_tensors_of_another_number_of_sequences_are_refused(self):
        slopes = ("F32", [3, 4], struct.pack("<12f", *[0.1] * 12))
        write_safetensors(self.folder / "slopes.safetensors", {"alibi_slopes": slopes})
        self.refuse("forward", *HEADS, "--ragged", "2q64", "--alibi", "slopes.safetensors",
                    says=["'alibi_slopes' has shape [3, 4], so b is 3", "--ragged has b 2"])
        both = self.bundle(cu_seqlens_q=ends(0, 4, 9), cu_seqlens_k=ends(0, 4, 7), alibi_slopes=slopes)
        self.refuse("forward", "--input", both, says=["so b is 3", "'cu_seqlens_q' has b 2"])
        write_safetensors(self.folder / "lengths.safetensors", {"cu_seqlens_q": ends(0, 4, 9)})
        for flags in (["--mask", "random"], ["--bias", "random"]):
            for command in ("bench", "check", "forward"):
                self.refuse(command, *HEADS, "--ragged", "lengths.safetensors", *flags,
                            says=["lengths.safetensors", f"--ragged and {flags[0]}"])

    def test_a_line_that_reproduces_says_that_a_bundle_is_not_ragged(self):
        self.expect(0, "forward", *HEADS, "--q_len", "9", "--save_inputs", "in.safetensors")
        inputs = read_safetensors(self.folder / "in.safetensors")
        write_safetensors(self.folder / "in.safetensors", {**inputs, "cu_seqlens_q": ends(0, 4, 9)})
        self.refuse("forward", "--input", "in.safetensors", says="it must have 3 axes")
        self.expect(0, "check", "--input", "in.safetensors", "--ragged", "none", "--json", "r.json")
        command = json.loads((self.folder / "r.json").read_text())["results"][0]["command"]
        self.assertIn("--ragged none", command)

    def test_a_middle_row_of_a_long_sequence_beside_many_short_ones_is_looked_at(self):
        asked = ["--h", "2", "--d", "16", "--ragged", "q1k_33q1s64", "--causal"]
        self.expect(0, "forward", *asked, "--save_inputs", "in.safetensors", "--output", "out.safetensors")
        outputs = read_safetensors(self.folder / "out.safetensors")
        dtype, shape, data = outputs["o"]
        numbers = list(struct.unpack(f"<{len(data) // 4}f", data))
        row = 2 * 16
        numbers[row : 1023 * row] = [x / 2 for x in numbers[row : 1023 * row]]
        outputs["o"] = (dtype, shape, struct.pack(f"<{len(numbers)}f", *numbers))
        write_safetensors(self.folder / "out.safetensors", outputs)
        for level in ("sample", "full"):
            self.expect(1, "check", "--input", "in.safetensors", "--external", "out.safetensors", "--causal",
                        "--verify", level)

    def test_a_folder_of_a_words_name_does_not_hide_the_word(self):
        (self.folder / "none").mkdir()
        (self.folder / "q5").mkdir()
        self.expect(0, "forward", *HEADS, "--ragged", "none", "--q_len", "8")
        self.expect(0, "forward", *HEADS, "--ragged", "q5")

    def test_a_row_of_the_neighbour_is_wrong(self):
        asked = [*HEADS, "--ragged", "q20_q30"]
        self.expect(0, "forward", *asked, "--save_inputs", "in.safetensors", "--output", "out.safetensors")
        inputs = read_safetensors(self.folder / "in.safetensors")
        inputs["cu_seqlens_q"] = inputs["cu_seqlens_k"] = ends(0, 21, 50)
        write_safetensors(self.folder / "in.safetensors", inputs)
        self.expect(1, "check", "--input", "in.safetensors", "--external", "out.safetensors")

    def test_empty_sequences_are_those_of_a_file(self):
        lengths = {"cu_seqlens_q": ends(0, 0, 9, 9, 9, dtype="I64"), "cu_seqlens_k": ends(0, 3, 3, 7, 7)}
        for type in ("flash", "normal", "paper"):
            self.expect(0, "check", "--input", self.bundle(**lengths), "--pass", "backward", "--type", type)

    def test_tables_that_lie_are_named(self):
        def refuse(says, **tensors):
            self.refuse("forward", "--input", self.bundle(**tensors), says=says)

        refuse("'cu_seqlens_q' holds 4 at [2], behind 5; where sequences end must not fall",
               cu_seqlens_q=ends(0, 5, 4, 9), cu_seqlens_k=ends(0, 1, 2, 7))
        refuse("'cu_seqlens_q' holds 1 at [0]; it must begin with 0",
               cu_seqlens_q=ends(1, 5, 9), cu_seqlens_k=ends(0, 1, 7))
        refuse(["'q' has shape [9, 4, 16]", "the sequences have 8 rows together"],
               cu_seqlens_q=ends(0, 5, 8), cu_seqlens_k=ends(0, 1, 7))
        refuse(["'v' has shape [7, 2, 16]", "the sequences have 9 rows together"], v=("F32", [7, 2, 16], bytes(896)),
               k=("F32", [9, 2, 16], bytes(1152)), cu_seqlens_q=ends(0, 5, 9))
        refuse(["'cu_seqlens_q' is of 2 sequences", "'cu_seqlens_k' is of 1"],
               cu_seqlens_q=ends(0, 5, 9), cu_seqlens_k=ends(0, 7))
        refuse("'cu_seqlens_q' has shape [1]", cu_seqlens_q=ends(0), cu_seqlens_k=ends(0))
        refuse("there must be between 1 and", cu_seqlens_q=ends(0, 0), cu_seqlens_k=ends(0, 7))
        refuse("'cu_seqlens_q' comes to 9000000000 rows at [2]; there must be between 1 and 2147483647 in all",
               cu_seqlens_q=ends(0, 9, 9 * 10**9, 10**10, dtype="I64"), cu_seqlens_k=ends(0, 7, 7, 7))
        # What is missing, or too much, is named.
        refuse(["'q' has shape [9, 4, 16]", "'cu_seqlens_q' (or --ragged) is missing"], cu_seqlens_k=ends(0, 7))
        refuse(["'k' has shape [7, 2, 16]", "'cu_seqlens_q' (or --ragged) is missing"],
               q=("F32", [1, 4, 9, 16], bytes(4 * 9 * 64)))
        refuse(["'k' has shape [7, 2, 16]", "without 'cu_seqlens_k' each has as many keys as queries"],
               cu_seqlens_q=ends(0, 9))
        refuse(["'q' has shape [1, 4, 9, 16]", "since 'cu_seqlens_q' (or --ragged) makes the batch ragged"],
               q=("F32", [1, 4, 9, 16], bytes(4 * 9 * 64)), cu_seqlens_q=ends(0, 9), cu_seqlens_k=ends(0, 7))
        refuse("'cu_seqlens_q' holds F32", cu_seqlens_q=("F32", [2], bytes(8)))
        refuse("it must have 3 axes", q=("F32", [1, 4, 9, 16], bytes(4 * 9 * 64)), cu_seqlens_q=ends(0, 9),
               cu_seqlens_k=ends(0, 7))
        self.refuse("forward", "--input", self.bundle(), says="it must have 4 axes")
        named = self.bundle(cu_seqlens_q=ends(0, 9), cu_seqlens_k=ends(0, 7))
        self.refuse("forward", "--input", named, "--b", "1", says=["'cu_seqlens_q'", "leave --b out"])
        write_safetensors(self.folder / "other.safetensors", {"lengths": ends(0, 9)})
        self.refuse("forward", *HEADS, "--ragged", "other.safetensors",
                    says=["no tensor 'cu_seqlens_q'", "it holds 'lengths'"])


if __name__ == "__main__":
    unittest.main()
