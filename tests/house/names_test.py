"""Names of workload fields stand in one table (lib/sweep). A file that spells several of them has a list of its own,
which the next field would be missing from."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TABLE = tuple(f"lib/sweep/{part}_rows.cc" for part in ("problem", "score", "tensor", "execution"))

# A file may name a field or two by what it means to it: a message about --kv_len is no list.
MOST = 3

# Files that spell more, each with why that is no list of fields.
EXCEPTIONS = {
    "lib/core/extents.h": "the members of Shape by name, for messages about extents",
    "lib/core/problem.h": "under which name a file has a tensor, if nobody says otherwise",
    "lib/report/fields.h": "members of other records, such as the peaks', which happen to have these names",
    "lib/data/resolve.cc": "what a bundle may hold beside q, k and v: tensors that a flag wins over",
    "lib/data/input_files.cc": "under which name a tensor is found in a file, by its role",
    "lib/guest/call.cc": "members of the structs that plug-ins take, from the message's; version 1 of both is fixed",
    "lib/guest/launch_description.cc": "names in formulas and of tensors that somebody's file may use",
    "lib/guest/protocol.cc": "members of a problem's message; a new Feature is refused for guests until it has a word there",
    "lib/guest/tensors.cc": "under which name guests are given a tensor, by its role",
    "lib/data/outputs.cc": "under which name a tensor is written to a file",
    "app/case/dry_run.cc": "headings of what routing chose for a case",
    "app/info_routes.cc": "what a table of routes tells problems apart by, as one range or list each",
    "app/command_line/cli.cc": "what other programs call a flag of ours",
    "app/check/suite_rows.h": "names of the suite's rows, some of which are those of the field that they try",
    "app/check/check_suite.cc": "what narrows the suite by what it means; 'deterministic' is the name of a row of it",
}


def names():
    """Of flags and of what a report records."""
    found = set()
    for path in TABLE:
        text = (SOURCE / path).read_text()
        found.update(re.findall(r'\.name = "(\w+)"', text))
        found.update(re.findall(r'recorded<[^;]*?, "(\w+)"\)', text))
    return found - {"q", "k", "v"}  # everywhere the names of tensors


def literals(text):
    """The string literals of C++ source, comments left out."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    return set(re.findall(r'"((?:[^"\\\n]|\\.)*)"', text))


def spelled(path, known):
    return sorted(literals(path.read_text()) & known)


class Names(unittest.TestCase):
    maxDiff = None

    def test_no_file_lists_fields_beside_the_table(self):
        known, lists = names(), {}
        for top in ("app", "lib"):
            for path in sorted((SOURCE / top).rglob("*")):
                file = path.relative_to(SOURCE).as_posix()
                if path.suffix in (".cc", ".h", ".cu", ".cuh", ".inc") and file not in TABLE:
                    if len(found := spelled(path, known)) > MOST:
                        lists[file] = found
        unknown = {file: found for file, found in lists.items() if file not in EXCEPTIONS}
        self.assertEqual(unknown, {}, "go over sweep::fields() instead, or say here why not")
        self.assertEqual(set(EXCEPTIONS) - set(lists), set(), "an exception that nothing needs any more goes")

    def test_a_list_would_be_seen(self):
        known = names()
        self.assertLess({"b", "kv_len", "dtype", "mask_keep", "kernel_request", "cache"}, known)
        text = 'for (const char* f : {"b", "h", "d", "seed"}) // "mask"\n  visit("say \\"causal\\"");'
        self.assertEqual(literals(text) & known, {"b", "h", "d", "seed"})


if __name__ == "__main__":
    unittest.main()
