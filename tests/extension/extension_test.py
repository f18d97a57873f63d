"""What it takes to add a member to a closed set: a dtype, an ISA level, a mask, a score modification.

Each NAME.patch beside this file adds one to a copy of the sources. It may touch the files that the table
below names, the golden files and the schema, and no others; what then includes them must compile with
the flags of the build. NAME_probe.cc, linked with the whole patched program, looks at what became of it:
every kernel that was not told refuses by name, and what the set promises by itself holds.

Quick: patches and checks the syntax of the files that speak of the set. Built: builds and runs the probes.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("FLASHBENCH_BUILD", SOURCE / "build/release"))
CMAKE = os.environ.get("CMAKE", "cmake")

# name: (files that the patch may touch, what a source file says that has to do with the set)
TABLE = {
    "dtype": (["lib/core/dtype.h"], r"\bDtype\b|\bwith_dtype\b"),
    "isa": (
        ["lib/kernel/execution.h", "lib/cpu/tile_ops.cc", "lib/cpu/tile_ops_plain.cc"],
        r"\bIsa\b",
    ),
    "mask": (
        [
            "lib/core/problem.h",
            "lib/core/features.h",
            "lib/core/visibility.cc",
            "lib/oracle/definition.h",
            "lib/paper/paper_kernel.cc",
        ],
        r"\bFeature\b|visible_of|\bDefinition\b",
    ),
    "score_mod": (
        [
            "lib/core/problem.h",
            "lib/core/features.h",
            "lib/core/score_mod.h",
            "lib/core/score_mod.cc",
            "lib/oracle/definition.h",
            "lib/paper/paper_kernel.cc",
        ],
        r"\bFeature\b|\bScoreMod\b|score_mod_of|paper_head|\bDefinition\b|paper/\w+\.h",
    ),
}
ALWAYS = ("tests/golden/", "lib/report/schema/")


def touched(patch):
    """The files that a patch changes, adds or removes."""
    names = set()
    for line in patch.read_text().splitlines():
        if match := re.match(r"(?:---|\+\+\+) [ab]/(\S+)", line):
            names.add(match[1])
    return names


def patched_copy(name, folder):
    """lib, app and what builds them, in `folder`, with the patch applied."""
    for part in ("lib", "app", "configs"):
        shutil.copytree(SOURCE / part, folder / part)
    shutil.copy(SOURCE / "CMakeLists.txt", folder)
    # Not a part of the repository that the folder may lie in.
    environment = dict(os.environ, GIT_CEILING_DIRECTORIES=str(folder.parent))
    subprocess.run(
        ["git", "apply", str(HERE / f"{name}.patch")], cwd=folder, env=environment, check=True
    )


def syntax_command(entry, folder):
    """The build's own command for a file, in the copy, without making anything."""
    words = shlex.split(entry["command"].replace(f"{SOURCE}/", f"{folder}/"))
    words = words[1:] if words[0].endswith("ccache") else words
    while "-include" in words:  # precompiled headers, which lie in the build folder
        at = words.index("-include")
        del words[at : at + 2]
    output = words.index("-o")
    return words[:output] + words[output + 2 :] + ["-fsyntax-only", "-Werror=switch"]


class Quick(unittest.TestCase):
    def test_every_patch_has_its_line_and_its_probe(self):
        self.assertEqual({p.stem for p in HERE.glob("*.patch")}, set(TABLE))
        for name in TABLE:
            self.assertTrue((HERE / f"{name}_probe.cc").is_file(), name)

    def test_patches_touch_only_the_files_of_the_table(self):
        for name, (allowed, _) in TABLE.items():
            others = {f for f in touched(HERE / f"{name}.patch") if not f.startswith(ALWAYS)}
            self.assertEqual(others, set(allowed), name)

    def test_files_that_speak_of_the_set_compile(self):
        entries = json.loads((BUILD / "compile_commands.json").read_text())
        for name, (_, mentions) in TABLE.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as temporary:
                folder = pathlib.Path(temporary)
                patched_copy(name, folder)
                files = [
                    e
                    for e in entries
                    if e["file"].startswith((f"{SOURCE}/lib/", f"{SOURCE}/app/"))
                    and re.search(mentions, pathlib.Path(e["file"]).read_text())
                ]
                self.assertGreater(len(files), 3, "nothing to compile")

                def compile_one(entry):
                    return subprocess.run(
                        syntax_command(entry, folder),
                        cwd=folder,
                        capture_output=True,
                        text=True,
                        check=False,
                    )

                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    for entry, done in zip(files, pool.map(compile_one, files)):
                        self.assertEqual(done.returncode, 0, f"{entry['file']}\n{done.stderr}")


class Built(unittest.TestCase):
    def build_and_run(self, name):
        build = BUILD / "extension" / name
        with tempfile.TemporaryDirectory() as temporary:
            # A name that stays the same: a compiler cache would miss what it has seen otherwise.
            folder = build / "source"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            patched_copy(name, folder)
            self.run_or_fail(
                CMAKE, "-S", HERE / "probe", "-B", build / "build", "-DCMAKE_BUILD_TYPE=Debug",
                "-DCMAKE_CXX_FLAGS_DEBUG=-O0", f"-DFLASHBENCH_COPY={folder}",
                f"-DFLASHBENCH_PROBE={HERE / f'{name}_probe.cc'}", cwd=temporary,
            )  # fmt: skip
            self.run_or_fail(
                CMAKE, "--build", build / "build", "--parallel", os.cpu_count(), cwd=temporary
            )
            self.run_or_fail(build / "build" / "probe", cwd=temporary)

    def run_or_fail(self, *command, cwd):
        words = [str(word) for word in command]
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
        text = f"{shlex.join(words)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        self.assertEqual(done.returncode, 0, text)


for each in TABLE:
    setattr(Built, f"test_{each}", lambda self, name=each: self.build_and_run(name))

if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
