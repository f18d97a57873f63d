#!/usr/bin/env python3
"""Who judges the judge: plants small errors into the oracle's own code, one at a time, builds its tests with
each and says which ones no test notices.

    tests/oracle/mutate.py build/release                  # all: an hour of one core
    tests/oracle/mutate.py build/release --every 7        # every seventh
    tests/oracle/mutate.py build/release --part 0/2       # the first of two halves, for two processes
    tests/oracle/mutate.py build/release --file rows.cc   # those of a file; may be repeated
    tests/oracle/mutate.py build/release --survivors      # those that mutation_survivors.tsv names
    tests/oracle/mutate.py build/release --list           # what would be planted

The build folder is Ninja's and has an oracle_test that passes. In each function of lib/oracle: a sign flipped, a term
of a sum dropped, a loop one short, a maximum for a minimum, a square forgotten; the first place of each kind.
mutation_survivors.tsv, beside this file, names the ones that are known to be noticed by no test, each with its
reason. Exits 1 when another one survives, and when one that it names is noticed or is not planted any more.
"""
import argparse
import collections
import csv
import dataclasses
import os
import pathlib
import re
import resource
import shlex
import shutil
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
    ("square forgotten", re.compile(r"(?<!double )\bsquare\("), "("),
]
FUNCTION = re.compile(r"^(?: {2})?[A-Za-z_].*\)(?: const)?(?: \{| :)?$|^(?: {2})?[A-Za-z_].*\) (?:const )?\{"
                      r"|^(?: {2})?[A-Za-z_][\w:<>&*,\[\] ]* [\w:~&*]+\([^;=]*,$")  # the last: over several lines
STATEMENT = re.compile(r"\s*(if|for|while|switch|return|else|throw)\b")
KEY = ("file", "function", "kind", "mutant")  # columns of mutation_survivors.tsv, beside the reason
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
        return (self.file, self.function, self.kind, self.after.strip())

    def __str__(self):
        where = f"{self.file}:{self.line + 1} {self.function}"
        return f"{where} {self.kind}: {self.before.strip()}  ->  {self.after.strip()}"


def mutants_of(path):
    """The first place of every kind in each function of one file."""
    function, taken = "", set()
    for number, line in enumerate(path.read_text().splitlines()):
        if FUNCTION.match(line) and not STATEMENT.match(line):
            function, taken = re.search(r"([\w~:]*)\(", line)[1], set()
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
    files = [path for suffix in ("cc", "h", "inc") for path in sorted(ORACLE.glob(f"*.{suffix}"))]
    return [m for path in files for m in mutants_of(path)]


class Build:
    """The compile and link commands of a Ninja build folder, and which files each object is made of."""

    def __init__(self, folder):
        self.folder = folder
        self.compile = {}  # command by source, of the oracle and of its tests
        for command in self.ninja("commands", "tests/oracle_test"):
            source = re.search(r"-c (\S*/(?:lib|tests)/oracle/\S+\.cc)", command)
            if source:
                self.compile[source[1]] = shlex.split(command)
        self.link = shlex.split(self.ninja("commands", "tests/oracle_test")[-1].split("&&")[1])
        self.includes = {source: self.headers_of(command) for source, command in self.compile.items()}

    def ninja(self, tool, target):
        return subprocess.run(["ninja", "-C", self.folder, "-t", tool, target], check=True, capture_output=True,
                              text=True).stdout.strip().splitlines()

    def headers_of(self, command):
        lines = self.ninja("deps", command[command.index("-o") + 1])
        return {pathlib.Path(line).name for line in lines if "lib/oracle/" in line}

    def steps(self, mutant):
        """Which sources to build with it: of a header first the tests that are of it, or else one that uses it, since
        most mutants need no more; then all."""
        everything = [source for source in self.compile if mutant.file in self.includes[source]]
        of_it = [source for source in everything if "/tests/" in source
                 and f'"oracle/{mutant.file}"' in pathlib.Path(source).read_text()]
        return [everything] if mutant.file.endswith(".cc") else [of_it or everything[:1], everything]

    def test_with(self, mutant, sources, scratch):
        """Builds oracle_test with one mutant in some sources. Returns its path, or None where it does not compile."""
        (scratch / "oracle").mkdir(exist_ok=True)
        lines = (ORACLE / mutant.file).read_text().splitlines()
        lines[mutant.line] = mutant.after
        mutated = scratch / "oracle" / mutant.file
        mutated.write_text("\n".join(lines) + "\n")
        objects = [self.compiled(source, mutated, scratch) for source in sorted(sources)]
        if None in objects:
            return None
        program = scratch / "oracle_test"
        command = list(self.link)
        command[command.index("-o") + 1] = str(program)
        # First of all, so that their functions are taken, those that headers define included; they stand in for the
        # tests' own.
        replaced = {pathlib.Path(out).name for out in objects}
        command = [word for word in command if pathlib.Path(word).name not in replaced]
        first = next(i for i, word in enumerate(command) if word.endswith((".o", ".a")) and command[i - 1] != "-o")
        command[first:first] = objects
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return program

    def compiled(self, source, mutated, scratch):
        command = list(self.compile[source])
        out = f"{scratch}/{pathlib.Path(source).name}.o"
        if pathlib.Path(out).exists():  # of the step before
            return out
        command[command.index("-o") + 1] = out
        if mutated.suffix == ".cc":
            command[command.index("-c") + 1] = str(mutated)
        for option in ("-MF", "-MT"):
            if option in command:
                command[command.index(option) + 1] = out + ".d"
        include = next(i for i, word in enumerate(command) if word.startswith("-I"))
        command.insert(include, f"-I{scratch}")  # before all others
        command = [word for word in command if word not in ("ccache", "-Werror")]
        command += ["-O1", "-w"]  # the same numbers, in half of the time
        done = subprocess.run(command, cwd=self.folder, capture_output=True)
        return out if done.returncode == 0 else None


def limit_resources():
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))  # of the processor: the machine may be busy


def noticed(program, scratch):
    """Whether a test fails, crashes or hangs."""
    try:
        run = subprocess.run([program, "--gtest_fail_fast", "--gtest_brief=1"], capture_output=True, timeout=1800,
                             cwd=scratch, preexec_fn=limit_resources, env=dict(os.environ, OMP_NUM_THREADS="1"))
    except subprocess.TimeoutExpired:
        return True
    return run.returncode != 0


def known_survivors():
    """The reason of each that is known, by key."""
    if not SURVIVORS.exists():
        return {}
    with SURVIVORS.open() as rows:
        return {tuple(r[column] for column in KEY): r["reason"] for r in csv.DictReader(rows, delimiter="\t")}


def chosen_mutants(args, known):
    part, parts = (int(n) for n in args.part.split("/"))
    mutants = [m for m in all_mutants() if (not args.file or m.file in args.file)
               and (not args.survivors or m.key() in known)]
    return mutants[:: args.every][part::parts]


def outcome_of(mutant, build, scratch):
    for sources in build.steps(mutant):
        program = build.test_with(mutant, sources, scratch)
        if program is None:
            return "does not compile"
        if noticed(program, scratch):
            return "noticed"
    return "survived"


def try_all(mutants, build, known, scratch):
    """How many mutants had which outcome."""
    counts = collections.Counter()
    for mutant in mutants:
        outcome = outcome_of(mutant, build, scratch)
        if mutant.key() in known:
            outcome = "known" if outcome == "survived" else f"{outcome}, though it is named as a survivor"
        counts[outcome] += 1
        if outcome not in ("noticed", "known"):
            print(f"{outcome}  {mutant}", flush=True)
        for leftover in scratch.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--part", default="0/1", metavar="I/N")
    parser.add_argument("--file", action="append", metavar="NAME")
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    known = known_survivors()
    chosen = chosen_mutants(args, known)
    if args.list:
        print("\n".join(map(str, chosen)))
        return 0
    gone = set(known) - {m.key() for m in all_mutants()}
    for key in sorted(gone):
        print("not planted any more, though it is named as a survivor  " + " ".join(key))
    build = Build(args.build.resolve())
    with tempfile.TemporaryDirectory() as scratch:
        if noticed(build.folder / "tests/oracle_test", scratch):
            print("oracle_test fails without any mutant")
            return 1
        counts = try_all(chosen, build, known, pathlib.Path(scratch))
    print(f"{len(chosen)} mutants: " + ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())))
    return 1 if gone or set(counts) - {"noticed", "known", "does not compile"} else 0


if __name__ == "__main__":
    sys.exit(main())
