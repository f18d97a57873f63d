"""K and V in pages of a pool: what files hold, and tables that lie."""

import json
import struct
import unittest

from harness import CliTest, FAST, read_safetensors, write_safetensors

SHAPE = ["--b", "2", "--h", "4", "--h_kv", "2", "--q_len", "3", "--kv_len", "20", "--d", "16"]


def integers(*numbers, shape=None):
    return ("I32", shape or [len(numbers)], struct.pack(f"<{len(numbers)}i", *numbers))


class Pages(CliTest):
    def saved(self, *flags):
        """The inputs of SHAPE in pages of 8 rows, as they are saved."""
        self.expect(0, "forward", *(flags or (*SHAPE, "--page_size", "8")), "--save_inputs", "in.safetensors",
                    "--output", "out.safetensors")
        return read_safetensors(self.folder / "in.safetensors")

    def test_a_case_with_pages_says_so(self):
        self.expect(0, "bench", *SHAPE, *FAST, "--type", "flash,normal", "--page_size", "0,8", "--json", "r.json")
        results = json.loads((self.folder / "r.json").read_text())["results"]
        self.assertEqual([r["workload"]["page_size"] for r in results], [0, 0, 8, 8])
        self.assertIn("--page_size 8", results[2]["command"])
        self.assertEqual({r["check"]["verdict"] for r in results}, {"pass"})
        skipped = self.run_program("bench", *SHAPE, *FAST, "--type", "paper", "--page_size", "8").stdout
        self.assertIn("paper does not support --page_size", skipped)
        self.refuse("backward", *SHAPE, "--page_size", "8", says="--page_size is for a forward pass alone")
        self.refuse("check", *SHAPE, "--page_size", "8", "--pass", "both", says="not for --pass both")
        self.refuse("forward", *SHAPE, "--page_size", "-1", says="--page_size")
        self.refuse("forward", *SHAPE, "--page_size", "2m", says="--page_size must be between 0 and 1048576, got '2m'")

    def test_a_pool_of_a_file_is_read_through_its_table(self):
        inputs = self.saved()
        pages = inputs["k_pages"][1][0]
        self.assertEqual(inputs["k_pages"][1][1:], [8, 2, 16])
        self.assertGreater(pages, 6)
        self.assertEqual(inputs["block_table"][1], [2, 3])
        self.assertEqual(inputs["kv_lens"], integers(20, 20))
        self.assertNotIn("k", inputs)
        check = ["check", "--input", "in.safetensors", "--external", "out.safetensors"]
        self.expect(0, *check)
        self.expect(0, "check", "--input", "in.safetensors", "--type", "flash,normal", "--pass", "forward")
        # The neighbour's page is wrong; moved there, with the table that says so, it is the same problem.
        table = list(struct.unpack("<6i", inputs["block_table"][2]))
        a, b = table[0], table[3]
        table[0], table[3] = b, a
        inputs["block_table"] = integers(*table, shape=[2, 3])
        write_safetensors(self.folder / "in.safetensors", inputs)
        self.expect(1, *check)
        for name in ("k_pages", "v_pages"):
            dtype, shape, data = inputs[name]
            size = len(data) // pages
            parts = [data[i * size : (i + 1) * size] for i in range(pages)]
            parts[a], parts[b] = parts[b], parts[a]
            inputs[name] = (dtype, shape, b"".join(parts))
        write_safetensors(self.folder / "in.safetensors", inputs)
        self.expect(0, *check)

    def test_a_servers_decode_of_several_lengths(self):
        inputs = self.saved("--h", "4", "--h_kv", "2", "--d", "16", "--ragged", "3q1s20_q5s9", "--page_size", "8")
        self.assertEqual(inputs["kv_lens"], integers(20, 20, 20, 9))
        inputs.pop("cu_seqlens_k")
        write_safetensors(self.folder / "in.safetensors", inputs)
        self.expect(0, "check", "--input", "in.safetensors", "--external", "out.safetensors")
        inputs["kv_lens"] = integers(20, 20, 20)
        write_safetensors(self.folder / "in.safetensors", inputs)
        self.refuse("forward", "--input", "in.safetensors", says=["of 4 sequences", "of 3"])

    def test_tables_that_lie_are_named(self):
        inputs = self.saved()
        table = list(struct.unpack("<6i", inputs["block_table"][2]))
        pages = inputs["k_pages"][1][0]

        def refuse(says, **changed):
            tensors = {**inputs, **changed}
            write_safetensors(self.folder / "in.safetensors", {k: v for k, v in tensors.items() if v})
            self.refuse("forward", "--input", "in.safetensors", says=says)

        refuse(f"'block_table' holds {pages} at [0, 1]; there are pages 0 to {pages - 1}",
               block_table=integers(table[0], pages, *table[2:], shape=[2, 3]))
        refuse("'block_table' holds -1 at [1, 2]", block_table=integers(*table[:5], -1, shape=[2, 3]))
        refuse(f"'block_table' holds {table[3]} at [1, 2] for the second time in its row",
               block_table=integers(*table[:5], table[3], shape=[2, 3]))
        refuse(["'block_table' has shape [2, 2]", "take 3 pages of 8"],
               block_table=integers(*table[:4], shape=[2, 2]))
        refuse("'block_table' has shape [3, 2]; it must be [2, most pages]", block_table=integers(*table, shape=[3, 2]))
        refuse("'block_table' holds F32; it must be I32", block_table=("F32", [2, 3], bytes(24)))
        refuse("'kv_lens' holds -1 at [1]", kv_lens=integers(20, -1))
        refuse(["'kv_lens' holds 20 at [0] and 9 at [1]", "'cu_seqlens_q'"], kv_lens=integers(20, 9))
        refuse(["no tensor 'v_pages' beside 'k_pages'"], v_pages=None)
        refuse(["'v_pages' has shape", "page_size"], v_pages=("F32", [pages, 4, 2, 16], bytes(pages * 4 * 2 * 16 * 4)))
        dtype, shape, data = inputs["v_pages"]
        refuse([f"'k_pages' has {pages} pages", "'v_pages' has 2"],
               v_pages=(dtype, [2, *shape[1:]], data[: 2 * len(data) // pages]))
        refuse("no tensor 'k_pages' beside 'v_pages'", k_pages=None)
        refuse("no tensor 'k'", k_pages=None, v_pages=None)
        whole = ("F32", [2, 2, 20, 16], bytes(2 * 2 * 20 * 16 * 4))
        refuse("holds both 'k' and 'k_pages'; leave one of them out", k=whole, v=whole)
        refuse("holds both 'k' and 'k_pages'", k=whole, v=whole, v_pages=None)
        refuse("holds both 'v' and 'v_pages'", v=whole)
        write_safetensors(self.folder / "in.safetensors", inputs)
        self.refuse("forward", "--input", "in.safetensors", "--k_name", "kk", says="no tensor 'kk'")
        self.refuse("forward", "--input", "in.safetensors", "--page_size", "4", says=["--page_size 4", "page_size is 8"])

    def test_lengths_are_held_against_the_table_before_memory_is_asked_for(self):
        inputs = self.saved("--h", "4", "--h_kv", "2", "--d", "16", "--ragged", "q1s20_q5s9", "--page_size", "8")
        inputs.pop("cu_seqlens_k")
        most = 2**31 - 1

        def refuse(says, commands=("forward", "check", "bench"), **changed):
            write_safetensors(self.folder / "in.safetensors", {**inputs, **changed})
            for command in commands:
                self.refuse(command, "--input", "in.safetensors", says=says)
                self.refuse(command, "--input", "in.safetensors", "--dry_run", says=says)

        for n, keys in enumerate([(2**30, 9), (20, 2**30)]):
            refuse(["'block_table' has shape [2, 3]", f"the {2**30} keys that 'kv_lens' holds at [{n}]",
                    "take 134217728 pages of 8"], kv_lens=integers(*keys))
        refuse(["'kv_lens' comes to 4294967294 rows at [1]", "between 1 and 2147483647 in all"],
               kv_lens=integers(most, most))
        refuse(f"'block_table' holds 99 at [0, 1]; there are pages 0 to {inputs['k_pages'][1][0] - 1}",
               block_table=integers(0, 99, 2, 3, 4, 5, shape=[2, 3]))
        # Of one length, without a ragged batch.
        one = {"q": ("F32", [1, 4, 3, 16], bytes(4 * 3 * 64)), "block_table": integers(0, 1, 2, shape=[1, 3])}
        inputs.pop("cu_seqlens_q")
        refuse(f"the {most} keys that 'kv_lens' holds at [0]", kv_lens=integers(most), **one)

    def test_a_batch_without_any_key_or_query_is_refused_alike(self):
        inputs = self.saved("--h", "4", "--h_kv", "2", "--d", "16", "--ragged", "q1s20_q5s9", "--page_size", "8")
        nothing = "comes to 0 rows at [{}]; there must be between 1 and 2147483647 in all (a sequence may be empty"

        def written(*leave_out, **changed):
            tensors = {name: t for name, t in {**inputs, **changed}.items() if name not in leave_out}
            write_safetensors(self.folder / "in.safetensors", tensors)
            return "in.safetensors"

        self.refuse("forward", "--input", written("cu_seqlens_k", kv_lens=integers(0, 0)),
                    says="'kv_lens' " + nothing.format(1))
        self.refuse("forward", "--input", written(cu_seqlens_k=integers(0, 0, 0), kv_lens=integers(0, 0)),
                    says="'cu_seqlens_k' " + nothing.format(2))
        self.refuse("forward", "--input", written(cu_seqlens_q=integers(0, 0, 0)),
                    says="'cu_seqlens_q' " + nothing.format(2))
        self.expect(0, "check", "--input", written("cu_seqlens_k", kv_lens=integers(0, 9)))
        self.refuse("forward", "--input", written(kv_lens=integers(20, 8)),
                    says=["'kv_lens' holds 8 at [1]", "'cu_seqlens_k' that sequence has 9 keys"])

    def test_a_missing_table_of_lengths_is_named(self):
        inputs = self.saved("--h", "4", "--h_kv", "2", "--d", "16", "--ragged", "q1s20_q5s9", "--page_size", "8")
        inputs.pop("cu_seqlens_q")
        for left in ("cu_seqlens_k", None):
            write_safetensors(self.folder / "in.safetensors", inputs)
            self.refuse("forward", "--input", "in.safetensors", says=["'q' has shape [6, 4, 16]", "'cu_seqlens_q'", "is missing"])
            inputs.pop(left, None)


class NoGradients(CliTest):
    """What can have none is checked forward, unless somebody asks for them."""

    SAID = "pass: forward alone where K and V are in pages or of 8 bits, or V in K: these have no gradients"

    def paged_and_8_bits(self):
        for flags in (["--page_size", "8"], ["--kv_dtype", "e4m3"]):
            self.expect(0, "forward", *SHAPE, *flags, "--save_inputs", "in.safetensors")
            yield [*SHAPE, *flags]
            yield ["--input", "in.safetensors"]
            inputs = read_safetensors(self.folder / "in.safetensors")
            write_safetensors(self.folder / "do.safetensors", {**inputs, "do": inputs["q"]})
            yield ["--input", "do.safetensors"]

    def test_check_without_a_pass_is_forward_and_says_so(self):
        for case in self.paged_and_8_bits():
            done = self.expect(0, "check", *case, "--type", "flash,normal", "--json", "r.json")
            self.assertEqual(done.stdout.splitlines()[0], self.SAID)
            self.assertIn("flash, forward", done.stdout)
            self.assertNotIn("both", done.stdout)
            results = self.validated((self.folder / "r.json").read_text())["results"]
            self.assertEqual({r["pass"] for r in results}, {"forward"})
            for r in results:
                self.assertIn("--pass forward", r["command"])
                self.assertIn("--pass forward", r["parameters"]["case"])
                again = self.expect(0, *r["command"].split()[1:])
                self.assertNotIn(self.SAID, again.stdout)
            dry = self.expect(0, "check", *case, "--dry_run")
            self.assertEqual(dry.stdout.splitlines()[0], self.SAID)
            self.assertNotIn("both", dry.stdout)
            for command in ("forward", "bench"):
                self.assertNotIn(self.SAID, self.expect(0, command, *case, "--dry_run").stdout)

    def test_gradients_that_are_asked_for_are_refused_by_name(self):
        for case in self.paged_and_8_bits():
            for name in ("both", "backward"):
                for command in ("check", "bench"):
                    self.refuse(command, *case, "--pass", name, says=f"--pass {name}")
            self.refuse("backward", *case, says="forward pass")
            self.refuse("check", *case, "--do", "random", says="--do is for gradients")

    def test_other_cases_of_a_sweep_keep_both_passes(self):
        done = self.expect(0, "check", *SHAPE, "--page_size", "0,8", "--type", "flash", "--json", "r.json")
        self.assertEqual(done.stdout.splitlines()[0], self.SAID)
        results = json.loads((self.folder / "r.json").read_text())["results"]
        passes = {r["workload"]["page_size"]: r["pass"] for r in results if r["type"] == "flash"}
        self.assertEqual(passes, {0: "both", 8: "forward"})

    def test_other_faults_of_a_file_are_not_hidden(self):
        self.expect(0, "forward", *SHAPE, "--page_size", "8", "--save_inputs", "in.safetensors")
        inputs = read_safetensors(self.folder / "in.safetensors")
        write_safetensors(self.folder / "in.safetensors", {**inputs, "block_table": integers(*[99] * 6, shape=[2, 3])})
        for flags in ([], ["--pass", "both"]):
            self.refuse("check", "--input", "in.safetensors", *flags, says="'block_table' holds 99 at [0, 0]")


if __name__ == "__main__":
    unittest.main()
