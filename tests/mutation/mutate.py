#!/usr/bin/env python3
"""Who judges the judge: plants small errors into the code that a verdict or a number comes from, one at a time, builds
the tests of its room with each and says which ones no test notices.

    tests/mutation/mutate.py build/release oracle                  # all: an hour of one core
    tests/mutation/mutate.py build/release measure                 # a quarter of an hour; compare: half an hour
    tests/mutation/mutate.py build/release oracle --every 7        # every seventh
    tests/mutation/mutate.py build/release oracle --part 0/2       # the first of two halves, for two processes
    tests/mutation/mutate.py build/release oracle --file rows.cc   # those of a file; may be repeated
    tests/mutation/mutate.py build/release oracle --survivors      # those that mutation_survivors.tsv names
    tests/mutation/mutate.py build/release oracle --list           # what would be planted

The build folder is Ninja's and has a ROOM_test that passes. In each function of lib/ROOM: a sign flipped, a term of a
sum dropped, a loop one short, a maximum for a minimum, a square forgotten; in measure and compare a comparison turned
round or moved to its border, an "and" for an "or", a condition dropped, too; the first place of each kind.
tests/ROOM/mutation_survivors.tsv names the ones that are known to be noticed by no test, each with its reason. Exits 1
when another one survives, and when one that it names is noticed or is not planted any more.
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
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

KINDS = [
    ("sign", re.compile(r" \+ (?!1\b)"), " - "),
    ("sign", re.compile(r"(?<=[\w)\]]) - (?!1\b)"), " + "),
    ("term dropped", re.compile(r" \+= ([^;]+);$"), r" += 0 * (\1);"),
    ("one short", re.compile(r" < ([\w.:>()\-]+); \+\+"), r" < \1 - 1; ++"),
    ("max for min", re.compile(r"std::max\("), "std::min("),
    ("min for max", re.compile(r"std::min\("), "std::max("),
    ("square forgotten", re.compile(r"(?<!double )\bsquare\("), "("),
]
# Of code that decides: of less than, greater than and equal what is next to it and what is opposite to it.
DECISIONS = [
    ("turned round", re.compile(r" < (?!=)"), " >= "),
    ("turned round", re.compile(r" > (?!=)"), " <= "),
    ("turned round", re.compile(r" <= "), " > "),
    ("turned round", re.compile(r" >= "), " < "),
    ("turned round", re.compile(r" == "), " != "),
    ("turned round", re.compile(r" != "), " == "),
    ("at its border", re.compile(r" <= "), " < "),
    ("at its border", re.compile(r" >= "), " > "),
    ("and for or", re.compile(r" \|\| "), " && "),
    ("or for and", re.compile(r" && "), " || "),
    ("condition dropped", re.compile(r"^(\s*)if \(.*\) (return|continue)"), r"\1if (false) \2"),
    ("one more", re.compile(r" [+-] 1\b"), " "),
    ("half of it", re.compile(r" \* (?=[\w.(])"), " / "),
    ("twice of it", re.compile(r"(?<=[\w)]) / (?=[\w.(])"), " * "),
]
KINDS_OF = {"oracle": KINDS, "measure": KINDS + DECISIONS, "compare": KINDS + DECISIONS}
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


def mutants_of(path, kinds):
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
        for kind, pattern, instead in kinds:
            place = pattern.search(code)
            if place is None or (kind, pattern) in taken:
                continue
            taken.add((kind, pattern))
            after = code[: place.start()] + place.expand(instead) + code[place.end():]
            yield Mutant(path.name, number, function, kind, line, after)


def all_mutants(room):
    folder = ROOT / "lib" / room
    files = [path for suffix in ("cc", "h", "inc") for path in sorted(folder.glob(f"*.{suffix}"))]
    return [m for path in files for m in mutants_of(path, KINDS_OF[room])]


class Build:
    """The compile and link commands of a Ninja build folder, and which files each object is made of."""

    def __init__(self, folder, room):
        self.folder, self.room = folder, room
        self.program = f"tests/{room}_test"
        self.compile = {}  # command by source, of the room and of its tests
        for command in self.ninja("commands", self.program):
            source = re.search(rf"-c (\S*/(?:lib|tests)/{room}/\S+\.cc)", command)
            if source:
                self.compile[source[1]] = shlex.split(command)
        self.link = shlex.split(self.ninja("commands", self.program)[-1].split("&&")[1])
        self.includes = {source: self.headers_of(command) for source, command in self.compile.items()}

    def ninja(self, tool, target):
        return subprocess.run(["ninja", "-C", self.folder, "-t", tool, target], check=True, capture_output=True,
                              text=True).stdout.strip().splitlines()

    def headers_of(self, command):
        lines = self.ninja("deps", command[command.index("-o") + 1])
        return {pathlib.Path(line).name for line in lines if f"lib/{self.room}/" in line}

    def steps(self, mutant):
        """Which sources to build with it: of a header first the tests that are of it, or else one that uses it, since
        most mutants need no more; then all."""
        everything = [source for source in self.compile if mutant.file in self.includes[source]]
        of_it = [source for source in everything if "/tests/" in source
                 and f'"{self.room}/{mutant.file}"' in pathlib.Path(source).read_text()]
        return [everything] if mutant.file.endswith(".cc") else [of_it or everything[:1], everything]

    def test_with(self, mutant, sources, scratch):
        """Builds the tests with one mutant in some sources. Returns their path, or None where it does not compile."""
        (scratch / self.room).mkdir(exist_ok=True)
        lines = (ROOT / "lib" / self.room / mutant.file).read_text().splitlines()
        lines[mutant.line] = mutant.after
        mutated = scratch / self.room / mutant.file
        mutated.write_text("\n".join(lines) + "\n")
        objects = [self.compiled(source, mutated, scratch) for source in sorted(sources)]
        if None in objects:
            return None
        program = scratch / f"{self.room}_test"
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


class Trial:
    """How the tests are run: as long as they take without a mutant, several times over, and more hang."""

    def __init__(self, program, scratch):
        self.cpu_s, self.wall_s = 600, 1800
        begun, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        self.fails = self.noticed(program, scratch)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_s = int(10 + 4 * (now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime))
        self.wall_s = 60 + 10 * (time.monotonic() - begun)

    def limit_resources(self):
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        resource.setrlimit(resource.RLIMIT_CPU, (self.cpu_s, self.cpu_s))  # the machine may be busy

    def noticed(self, program, scratch):
        """Whether a test fails, crashes or hangs."""
        try:
            run = subprocess.run([program, "--gtest_fail_fast", "--gtest_brief=1"], capture_output=True,
                                 timeout=self.wall_s, cwd=scratch, preexec_fn=self.limit_resources,
                                 env=dict(os.environ, OMP_NUM_THREADS="1"))
        except subprocess.TimeoutExpired:
            return True
        return run.returncode != 0


def known_survivors(room):
    """The reason of each that is known, by key."""
    survivors = ROOT / "tests" / room / "mutation_survivors.tsv"
    if not survivors.exists():
        return {}
    with survivors.open() as rows:
        return {tuple(r[column] for column in KEY): r["reason"] for r in csv.DictReader(rows, delimiter="\t")}


def chosen_mutants(args, known):
    part, parts = (int(n) for n in args.part.split("/"))
    mutants = [m for m in all_mutants(args.room) if (not args.file or m.file in args.file)
               and (not args.survivors or m.key() in known)]
    return mutants[:: args.every][part::parts]


def outcome_of(mutant, build, trial, scratch):
    for sources in build.steps(mutant):
        program = build.test_with(mutant, sources, scratch)
        if program is None:
            return "does not compile"
        if trial.noticed(program, scratch):
            return "noticed"
    return "survived"


def try_all(mutants, build, trial, known, scratch):
    """How many mutants had which outcome."""
    counts = collections.Counter()
    for mutant in mutants:
        outcome = outcome_of(mutant, build, trial, scratch)
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
    parser.add_argument("room", choices=sorted(KINDS_OF))
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--part", default="0/1", metavar="I/N")
    parser.add_argument("--file", action="append", metavar="NAME")
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    known = known_survivors(args.room)
    chosen = chosen_mutants(args, known)
    if args.list:
        print("\n".join(map(str, chosen)))
        return 0
    gone = set(known) - {m.key() for m in all_mutants(args.room)}
    for key in sorted(gone):
        print("not planted any more, though it is named as a survivor  " + " ".join(key))
    build = Build(args.build.resolve(), args.room)
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(build.folder / build.program, scratch)
        if trial.fails:
            print(f"{build.program} fails without any mutant")
            return 1
        counts = try_all(chosen, build, trial, known, pathlib.Path(scratch))
    print(f"{len(chosen)} mutants: " + ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())))
    return 1 if gone or set(counts) - {"noticed", "known", "does not compile"} else 0


if __name__ == "__main__":
    sys.exit(main())
