"""A field that only the schema knows shows in labels, captions and tables. No package needed."""

import json
import os
import shutil
import subprocess
import sys
import unittest

import pictures
from harness import SCHEMA, SCRIPTS

DROPOUT = {"type": "integer", "default": 0, "x-of": "problem", "x-key": True, "x-order": 100}

# What the pictures would say of two reports; argv: the scripts' folder, then files.
SAY = """
import json, pathlib, sys
scripts = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(scripts / "common"))
import fields, reports
results = reports.results_of(reports.load(sys.argv[2:]))
arranged = reports.Sweep(results)
print(json.dumps({"panels": list(arranged.panels()), "caption": arranged.caption,
                  "axis": arranged.axis and arranged.axis.name,
                  "names": [fields.case_text(r) for r in results],
                  "cell": reports.TRAITS["dropout"].cell(results[-1])
                          if "dropout" in reports.TRAITS else None}))
"""


class OpenField(pictures.PictureTest):
    def said(self, scripts, dropouts, **env):
        results = [pictures.result(q_len=n, kv_len=n) for n in (256, 512) for _ in dropouts]
        for result, dropout in zip(results, dropouts * 2):
            if dropout is not None:
                result["workload"]["dropout"] = dropout
        return self.said_of(scripts, results, **env)

    def said_of(self, scripts, results, **env):
        files = self.files(pictures.report(results))
        done = subprocess.run(
            [sys.executable, "-c", SAY, scripts, *files],
            capture_output=True,
            text=True,
            env=dict(os.environ, **env),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def with_dropout(self, folder):
        """The schema with one more field, in that folder."""
        schema = json.loads(SCHEMA.read_text())
        schema["definitions"]["workload"]["properties"]["dropout"] = DROPOUT
        folder.mkdir(parents=True)
        (folder / SCHEMA.name).write_text(json.dumps(schema))

    def scripts(self, folder):
        shutil.copytree(SCRIPTS / "common", folder / "common")
        return folder

    def test_it_tells_panels_apart_and_stands_in_captions_and_cells(self):
        self.with_dropout(self.folder / "lib/report/schema")
        scripts = self.scripts(self.folder / "scripts")
        said = self.said(scripts, [0, 128])
        self.assertEqual(said["panels"], ["dropout 0", "dropout 128"])
        self.assertEqual(said["cell"], "128")
        self.assertTrue(said["names"][1].endswith(" dropout 128"), said["names"])
        self.assertNotIn("dropout", said["names"][0])
        self.assertIn("dropout 128", self.said(scripts, [128])["caption"])
        self.assertNotIn("dropout", self.said(scripts, [0])["caption"])

    def variants(self, values, **changes):
        """What is said of results of two lengths that differ in a member of the workload."""
        results = [pictures.result(q_len=n, kv_len=n, **changes) for n in (256, 512) for _ in values]
        for result, value in zip(results, values * 2):
            result["workload"].update(value)
        return self.said_of(SCRIPTS, results)

    def test_none_and_what_follows_are_no_labels(self):
        for values, panels in (
            ([{"alibi": "none"}, {"alibi": "standard"}], ["no ALiBi", "standard ALiBi"]),
            ([{"sinks": "none"}, {"sinks": "random"}], ["no sinks", "random sinks"]),
            ([{"bias": "none"}, {"bias": "random"}], ["no bias", "random bias"]),
            ([{"page_size": 0}, {"page_size": 16}], ["page_size 0", "pages of 16"]),
            ([{"softcap": 0.0}, {"softcap": 50.0}], ["softcap 0", "softcap 50"]),
            ([{"kv_dtype": None}, {"kv_dtype": "e4m3"}], ["kv f32", "kv e4m3"]),
            ([{}, {"kv_dtype": "e4m3"}], ["kv f32", "kv e4m3"]),
        ):
            self.assertEqual(self.variants(values)["panels"], panels)
            for word in ("none", "ALiBi", "sinks", "bias", "page", "kv ", "softcap"):
                self.assertNotIn(word, self.variants([values[0]])["caption"])

    def test_sequences_of_their_own_lengths_are_no_length(self):
        ragged = [{"ragged": "2q256_8q1s128", "b": 10, "q_len": 256}, {"ragged": "4q128", "b": 4, "q_len": 128}]
        said = self.variants(ragged)
        self.assertIsNone(said["axis"])
        self.assertEqual(said["panels"], ["sequences 2q256_8q1s128", "sequences 4q128"])
        said = self.variants(ragged[:1])
        self.assertIn("sequences 2q256_8q1s128", said["caption"])
        for word in ("batch", "queries", "keys"):
            self.assertNotIn(word, said["caption"].replace("key/value", ""))
        self.assertEqual(self.variants([ragged[0], {}])["panels"][:2], ["sequences 2q256_8q1s128", "not ragged, 256 queries"])

    def test_one_is_no_plural(self):
        decode = [pictures.result(q_len=1, kv_len=n, h=1, h_kv=1) for n in (256, 512)]
        caption = self.said_of(SCRIPTS, decode)["caption"]
        self.assertIn("1 query", caption)
        self.assertIn("1 head", caption)
        self.assertNotIn("heads", caption)

    def test_a_report_of_before_has_its_default(self):
        self.with_dropout(self.folder / "lib/report/schema")
        scripts = self.scripts(self.folder / "scripts")
        self.assertEqual(self.said(scripts, [None, 128])["panels"], ["dropout 0", "dropout 128"])

    def test_the_schema_is_found_where_the_program_is_installed(self):
        self.with_dropout(self.folder / "usr/share/flashbench")
        scripts = self.scripts(self.folder / "elsewhere/scripts")
        program = self.folder / "usr/bin/flashbench"
        program.parent.mkdir()
        program.touch()
        said = self.said(scripts, [0, 128], FLASHBENCH=str(program))
        self.assertEqual(said["panels"], ["dropout 0", "dropout 128"])


if __name__ == "__main__":
    unittest.main()
