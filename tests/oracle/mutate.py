#!/usr/bin/env python3
"""Who judges the judge: plants small errors into the oracle's own code, one at a time, builds its tests with
each and says which ones no test notices.

    tests/oracle/mutate.py build/release                  # all: hours of one core
    tests/oracle/mutate.py build/release --every 7        # every seventh
    tests/oracle/mutate.py build/release --part 0/2       # the first of two halves, for two processes
    tests/oracle/mutate.py build/release --list           # what would be planted

The build folder is Ninja's and has oracle_test. In each function of lib/oracle: a sign flipped, a term of a sum
dropped, a loop one short, a maximum for a minimum, a square forgotten; the first place of each kind. Exits 1 when
one survives that tests/oracle/mutation_survivors.tsv does not name with its reason.
"""
import argparse
import csv
import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORACLE = ROOT / "lib/oracle"
SURVIVORS = pathlib.Path(__file__).with_name("mutation_survivors.tsv")

KINDS = [
    ("sign", re.compile(r" \+ (?!1\b)"), " - "),
    ("sign", re.compile(r"(?<=[\w)\]]) - (?!1\b)"), " + "),
    ("term dropped", re.compile(r" \+= ([^;]+);$"), r" += 0 * (\1);"),
    ("one short", re.compile(r" < ([\w.:>()\-]+); \+\+"), r" < \1 - 1; ++"),
    ("max for min", re.compile(r"std::max\("), "std::min("),
    ("min for max", re.compile(r"std::min\("), "std::max("),
    ("square forgotten", re.compile(r"\bsquare\("), "("),
]
FUNCTION = re.compile(r"^(?: {2})?[A-Za-z_].*\)(?: const)?(?: \{| :)?$|^(?: {2})?[A-Za-z_].*\) (?:const )?\{")
NOT_CODE = re.compile(r"^\s*(//|#|static_assert|using|template|namespace)")


@dataclasses.dataclass(frozen=True)
class Mutant:
    file: str
    line: int  # from 0
    function: str
    kind: str
    before: str
    after: str

    def key(self):
        return (self.file, self.kind, self.before.strip())

    def __str__(self):
        return f"{self.file}:{self.line + 1} {self.kind}: {self.before.strip()}  ->  {self.after.strip()}"


def mutants_of(path):
    """The first place of every kind in each function of one file."""
    function, taken = "", set()
    for number, line in enumerate(path.read_text().splitlines()):
        if FUNCTION.match(line) and not re.match(r"\s*(if|for|while|switch|return|else)\b", line):
            function, taken = line.strip(), set()
            if not line.endswith("}"):
                continue
        code = line.split("//")[0].rstrip()
        if NOT_CODE.match(line) or '"' in code:
            continue
        for kind, pattern, instead in KINDS:
            place = pattern.search(code)
            if place is None or (kind, pattern) in taken:
                continue
            taken.add((kind, pattern))
            after = code[: place.start()] + place.expand(instead) + code[place.end():]
            yield Mutant(path.name, number, function, kind, line, after)


def all_mutants():
    files = sorted(ORACLE.glob("*.cc")) + sorted(ORACLE.glob("*.h"))
    return [m for path in files for m in mutants_of(path)]


class Build:
    """The compile and link commands of a Ninja build folder."""

    def __init__(self, folder):
        self.folder = folder
        self.compile = {}
        for command in self.commands("lib/oracle/libflashbench_oracle.a"):
            source = re.search(r"-c (\S*/lib/oracle/(\S+\.cc))", command)
            if source:
                self.compile[source[2]] = shlex.split(command)
        self.link = shlex.split(self.commands("tests/oracle_test")[-1].split("&&")[1])

    def commands(self, target):
        text = subprocess.run(["ninja", "-C", self.folder, "-t", "commands", target], check=True,
                              capture_output=True, text=True).stdout
        return text.strip().splitlines()

    def test_with(self, mutant, scratch):
        """Builds oracle_test with one mutant. Returns its path, or None where it does not compile."""
        (scratch / "oracle").mkdir(exist_ok=True)
        lines = (ORACLE / mutant.file).read_text().splitlines()
        lines[mutant.line] = mutant.after
        mutated = scratch / "oracle" / mutant.file
        mutated.write_text("\n".join(lines) + "\n")
        sources = [mutant.file] if mutant.file.endswith(".cc") else sorted(self.compile)
        objects = []
        for source in sources:
            command = list(self.compile[source])
            out = str(scratch / (source + ".o"))
            command[command.index("-o") + 1] = out
            if mutant.file.endswith(".cc"):
                command[command.index("-c") + 1] = str(mutated)
            for option in ("-MF", "-MT"):
                if option in command:
                    command[command.index(option) + 1] = out + ".d"
            command.insert(-2, f"-I{scratch}")
            include = next(i for i, word in enumerate(command) if word.startswith("-I"))
            command.insert(include, command.pop(-3))  # before all others
            command = [word for word in command if word != "-Werror"]
            if subprocess.run(command, cwd=self.folder, capture_output=True).returncode != 0:
                return None
            objects.append(out)
        program = scratch / "oracle_test"
        command = list(self.link)
        command[command.index("-o") + 1] = str(program)
        library = next(i for i, word in enumerate(command) if word.endswith("libflashbench_oracle.a"))
        command[library:library] = objects  # their symbols are found first
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return program


def noticed(program):
    """Whether a test fails, crashes or hangs."""
    try:
        run = subprocess.run([program, "--gtest_fail_fast", "--gtest_brief=1"], capture_output=True, timeout=120,
                             env=dict(os.environ, OMP_NUM_THREADS="1"))
    except subprocess.TimeoutExpired:
        return True
    return run.returncode != 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--part", default="0/1", metavar="I/N")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    part, parts = (int(n) for n in args.part.split("/"))
    chosen = all_mutants()[:: args.every][part::parts]
    if args.list:
        print("\n".join(map(str, chosen)))
        return 0
    known = {}
    if SURVIVORS.exists():
        with SURVIVORS.open() as rows:
            known = {(r["file"], r["kind"], r["line"]): r["reason"] for r in csv.DictReader(rows, delimiter="\t")}
    build = Build(args.build.resolve())
    caught = uncompiled = expected = 0
    survivors = []
    with tempfile.TemporaryDirectory() as scratch:
        for mutant in chosen:
            program = build.test_with(mutant, pathlib.Path(scratch))
            if program is None:
                uncompiled += 1
            elif noticed(program):
                caught += 1
            elif mutant.key() in known:
                expected += 1
            else:
                survivors.append(mutant)
                print(f"survived  {mutant}", flush=True)
            for leftover in pathlib.Path(scratch).glob("oracle/*"):
                leftover.unlink()
    print(f"{len(chosen)} mutants: {caught} noticed, {expected} known not to be, {len(survivors)} survived, "
          f"{uncompiled} do not compile")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
