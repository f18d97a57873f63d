"""Imports go one way. The rooms of lib may include what their CMakeLists.txt depends on; the sub-rooms of app,
lib/cuda and lib/ptx what stands here. Whoever adds an edge adds it there, and a circle fails."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SUFFIXES = {".h", ".cc", ".cu", ".cuh", ".inc"}

# A sub-room may include those on its right, its own files, and any room of lib that its room may. "." stands for the
# files beside the sub-rooms.
SUB_ROOMS = {
    "app": {
        "terminal": [],
        "process": [],
        "command_line": [],
        "case": ["command_line", "process", "terminal"],
        "bench": ["case", "command_line", "process", "terminal"],
        "check": ["case", "command_line", "process", "terminal"],
        "compare": ["command_line", "process", "terminal"],
        ".": ["bench", "case", "check", "command_line", "compare", "process", "terminal"],
    },
    "lib/cuda": {
        "contract": [],
        "fragments": ["contract"],
        "image": [],
        "device": ["contract", "image"],
        "simt_f32": ["contract", "fragments"],
        "decode_sm80": ["contract", "fragments"],
        "mma_bf16x6_sm80": ["contract", "fragments", "simt_f32"],  # delta
        "mma_sm80": ["contract", "fragments"],
        "wgmma_sm90a": ["contract", "fragments", "mma_sm80", "simt_f32"],  # delta, gradients beyond d = 256
        "normal": ["contract", "device", "fragments"],
        "probe": ["contract", "device", "fragments", "wgmma_sm90a"],
        ".": ["contract", "decode_sm80", "device", "mma_bf16x6_sm80", "mma_sm80", "normal", "probe", "simt_f32", "wgmma_sm90a"],
    },
    "lib/ptx": {
        "text": [],
        "machine": ["text"],
        "opcodes": ["machine", "text"],
        ".": ["machine", "opcodes", "text"],
    },
}


def depends():
    """room of lib -> the rooms that its CMakeLists.txt names."""
    found = {}
    for path in SOURCE.glob("lib/*/CMakeLists.txt"):
        call = re.search(r"flashbench_room\((\w+)([^)]*)\)", path.read_text())
        words = call.group(2).split()
        start = words.index("DEPENDS") + 1 if "DEPENDS" in words else len(words)
        end = words.index("LIBS") if "LIBS" in words else len(words)
        found[call.group(1)] = words[start:end]
    return found


def closure(graph, start):
    seen, open_ = set(), list(graph[start])
    while open_:
        room = open_.pop()
        if room not in seen:
            seen.add(room)
            open_ += graph[room]
    return seen


def circle(graph):
    """The rooms of a circle; [] where imports go one way."""
    done = set()

    def visit(room, path):
        if room in path:
            return path[path.index(room) :]
        if room in done:
            return []
        for below in graph[room]:
            if found := visit(below, [*path, room]):
                return found
        done.add(room)
        return []

    for room in graph:
        if found := visit(room, []):
            return found
    return []


def includes():
    """(file, included file) for every include of one of our files in app and lib, as paths below the source."""
    for top in ("app", "lib"):
        for path in sorted((SOURCE / top).rglob("*")):
            if path.suffix not in SUFFIXES:
                continue
            for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE):
                for base in ("", "lib/"):
                    if (SOURCE / base / name).is_file():
                        yield path.relative_to(SOURCE).as_posix(), base + name


def room_of(file):
    parts = file.split("/")
    return "app" if parts[0] == "app" else "/".join(parts[:2])


def sub_room_of(file):
    room = room_of(file)
    rest = file.removeprefix(room + "/").split("/")
    return rest[0] if len(rest) > 1 else "."


class Imports(unittest.TestCase):
    def test_every_include_of_a_room_is_among_its_dependencies(self):
        graph = depends()
        bad = []
        for file, included in includes():
            room, below = room_of(file), room_of(included)
            if room == below or room == "app":
                continue
            if below == "app" or below.removeprefix("lib/") not in closure(graph, room.removeprefix("lib/")):
                bad.append(f"{file} includes {included}: {room} does not depend on {below}")
        self.assertEqual(bad, [])

    def test_every_include_of_a_sub_room_is_allowed(self):
        bad = []
        for file, included in includes():
            room = room_of(file)
            if room not in SUB_ROOMS or room_of(included) != room:
                continue
            here, there = sub_room_of(file), sub_room_of(included)
            if here != there and there not in SUB_ROOMS[room].get(here, []):
                bad.append(f"{file} includes {included}: {here} may not import {there}")
        self.assertEqual(bad, [])

    def test_sub_rooms_are_the_folders_of_their_room(self):
        for room, graph in SUB_ROOMS.items():
            folders = {path.parent.relative_to(SOURCE / room).as_posix() for path in (SOURCE / room).rglob("*.h")}
            self.assertEqual({folder.split("/")[0] for folder in folders}, set(graph), room)

    def test_what_is_allowed_has_no_circle(self):
        self.assertEqual(circle(depends()), [])
        for room, graph in SUB_ROOMS.items():
            self.assertEqual(circle(graph), [], room)

    def test_a_circle_would_be_seen(self):
        self.assertEqual(circle({"a": ["b"], "b": ["c"], "c": ["b"]}), ["b", "c"])


if __name__ == "__main__":
    unittest.main()
