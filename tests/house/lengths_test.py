"""Files of at most 400 lines, functions of at most 60: what is longer stands here with its reason. A reason that is no
longer needed fails, too."""

import ast
import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MOST_LINES = {"file": 400, "function": 60}

# (file, function or None for the file itself): why.
EXCEPTIONS = {
    ("lib/cuda/wgmma_sm90a/wgmma_sm90a_backward.cuh", "dq"): "one pipelined loop, whose steps share registers",
    ("lib/ptx/machine/cta.cc", "Cta::special"): "a switch, one case for each special register",
    ("lib/ptx/text/parser.cc", None): "one grammar, read by one class",
    ("lib/report/csv.cc", "measured_columns"): "a table, one row for each column",
    ("scripts/peers", "parse"): "one call for each flag",
    ("tests/scripts/pictures.py", "result"): "one line for each field of a report",
}

FOLDERS = ("app", "lib", "scripts", "tests")
CPP = {".cc", ".h", ".cu", ".cuh", ".inc"}
SUFFIXES = CPP | {".py", ".sh", ".cmake", ""}


def cpp_functions(text):
    """(name, lines) of each block that ends with a lone brace. In clang-format's layout its first line is the last one
    before the brace that is indented alike; classes and initialisers end with a semicolon, and what is nested in a
    function is shorter than it."""
    text = re.sub(r'R"(\w*)\(.*?\)\1"', lambda m: re.sub(r"\S", "s", m[0]), text, flags=re.DOTALL)
    latest = {}  # indentation: number of the last line that has it
    for number, line in enumerate(text.split("\n")):
        if not line.strip() or line.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        if re.fullmatch(r" *\}( *//.*)?", line) and indent in latest:
            first = latest[indent]
            header = text.split("\n")[first]
            name = re.search(r"([\w~:]+)\(", header)
            yield name[1] if name else header.strip(), number - first + 1
        latest[indent] = number


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.end_lineno - node.lineno + 1


def functions(path, text):
    if path.suffix in CPP:
        return cpp_functions(text)
    first = text.split("\n", 1)[0]
    if path.suffix == ".py" or (first.startswith("#!") and "python" in first):
        return python_functions(text)
    return ()


def too_long():
    """(file, function or None): lines."""
    found = {}
    for path in (p for folder in FOLDERS for p in (SOURCE / folder).rglob("*")):
        if not path.is_file() or path.suffix not in SUFFIXES:
            continue
        name, text = str(path.relative_to(SOURCE)), path.read_text()
        if text.count("\n") > MOST_LINES["file"]:
            found[name, None] = text.count("\n")
        for function, lines in functions(path, text):
            if lines > MOST_LINES["function"]:
                found[name, function] = lines
    return found


class Lengths(unittest.TestCase):
    def test_only_what_is_listed_is_longer(self):
        found = too_long()
        self.assertEqual({k: v for k, v in found.items() if k not in EXCEPTIONS}, {})

    def test_each_listed_one_still_is(self):
        self.assertEqual(set(EXCEPTIONS) - set(too_long()), set())

    def test_a_long_function_is_seen(self):
        body = "  int x;\n" * 59
        self.assertEqual(dict(cpp_functions(f"int f(int a,\n      int b) {{\n{body}}}\n")), {"f": 62})
        nested = "struct S {\n" + "  void g() {\n    if (x) {\n    }\n" + "    y;\n" * 58 + "  }\n};\n"
        self.assertEqual(max(cpp_functions(nested), key=lambda f: f[1]), ("g", 62))
        self.assertEqual(list(cpp_functions("const int k[] = {\n" + "    1,\n" * 70 + "};\n")), [])
        self.assertEqual(dict(python_functions("def h():\n" + "    pass\n" * 60)), {"h": 61})


if __name__ == "__main__":
    unittest.main(verbosity=2)
