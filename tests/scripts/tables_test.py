"""The tables of measurements in README.md are what the JSON in the repository says."""

import json
import unittest

import harness  # puts the scripts' folders on the path

import tables

README = (harness.ROOT / "README.md").read_text()


class Tables(unittest.TestCase):
    # A number was mended by hand, or the table of another run stood beside the JSON of this one.
    def test_the_readme_has_what_is_generated(self):
        self.assertEqual(tables.with_tables(README), README, "run scripts/tables/tables.py")

    def test_another_number_in_the_json_is_another_table(self):
        data = json.loads((tables.HERE / "h200.json").read_text())
        before = tables.h200(data)
        data["results"]["64 forward"]["flash"]["tflops"] *= 2
        self.assertNotEqual(tables.h200(data), before)
        data = json.loads((tables.HERE / "peers.json").read_text())
        before = tables.peers(data)
        data["rows"]["bf16 forward d=64"]["speedup_over"]["pytorch"]["median"] *= 2
        self.assertNotEqual(tables.peers(data), before)

    def test_every_number_has_passed_its_check(self):
        data = json.loads((tables.HERE / "h200.json").read_text())
        for kinds in data["results"].values():
            for result in kinds.values():
                self.assertEqual(result["tflops"] is not None, result["verdict"] == "pass")
        data = json.loads((tables.HERE / "peers.json").read_text())
        for _, names, _, _ in tables.PEERS:
            for name in names:
                for one in data["rows"][name]["rounds"]["pytorch"]:
                    self.assertFalse(one.get("wrong") and one["tflops"], name)

    def test_nothing_names_where_it_was_measured(self):
        for path in tables.HERE.glob("*.json"):
            text = path.read_text()
            for word in ("/tmp/", "/home/", '"host"'):
                self.assertNotIn(word, text, path.name)


if __name__ == "__main__":
    unittest.main()
