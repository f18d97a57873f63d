"""The steps of scripts/gpu, in the order in which their answers matter, as data.

The words {folder}, {budget} and {rounds} of a command are filled in when its time is known.
"""

import dataclasses
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What the README's table is of; rows of one table can be compared.
SHAPE = "--b 4 --h 16 --dtype bf16"
WIDTHS = (64, 128, 256)
PASSES = ("forward", "backward")
BOTH = "--pass forward,backward"
# Takes every problem, some 20 times slower than tensor cores: beside it a board cools, and what is
# measured in turns with it runs at clocks that it does not have otherwise.
FALLBACK = "simt_f32"
# Edges of tiles, and a head dimension for each kind of tile.
EDGES = "--b 1 --h 2 --q_len 1,65,129 --d 64,128,256 --causal false,true --mask random"
# racecheck takes an arrival at an mbarrier for the arriving lane's own accesses alone, and reports
# what these kernels hand on that way (lib/cuda/README.md).
UNKNOWN_TO_RACECHECK = "sm90a"
BRIEF = "--min_time 300ms --timeout 1500ms"  # of the samples of a case
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")
PYTORCH = ("pytorch:sdpa_cudnn", "pytorch:sdpa_flash", "pytorch:sdpa_efficient")
# In a round of scripts/peers: of one program in one row (samples of 1 s at most, inputs that change,
# verification), and of each library that has to be loaded first.
TURN_S, LOAD_S = 3.0, 10.0


@dataclasses.dataclass(frozen=True)
class Step:
    """`least_s` and `most_s`: what it is of use for, and what it can make use of."""

    name: str
    answers: str
    command: tuple
    least_s: float
    most_s: float
    kind: str  # what its JSON is: info, check, utilisation, bench, peers; "" where it has none
    missing: str = ""  # why it cannot be run here
    round_s: float = 0  # of scripts/peers
    spare: bool = False  # only where all others have what they can make use of

    def words(self, seconds, folder):
        """The command, for that time."""
        rounds = max(1, min(5, int(seconds / self.round_s))) if self.round_s else 0
        words = [word.replace("{folder}", str(folder)) for word in self.command]
        words = [word.replace("{budget}", f"{0.9 * seconds:.1f}s") for word in words]
        return [word.replace("{rounds}", str(rounds)) for word in words]


@dataclasses.dataclass(frozen=True)
class Instruments:
    """What there is to measure, and to measure with. `kernels`: {name: type} of CUDA, in the order
    in which they are tried; none where no program says so. `takes`: names of those that take some
    case of these flags; `pytorch`, `sanitizer`: why it is not here, or ""."""

    program: str
    kernels: dict
    candidates: tuple
    takes: object
    python: str
    pytorch: str = ""
    sanitizer: str = ""

    def flash(self, flags):
        """Flash kernels that take some of these cases; of the candidates, where some are named, and
        of what is chosen without them."""
        own = self.of_type("flash", flags)
        return [name for name in own if name in (own[0], *(self.candidates or own))]

    def of_type(self, kind, flags):
        taken = self.takes(flags)
        return [name for name, its in self.kernels.items() if its == kind and name in taken]


def forced(kernels, otherwise="flash"):
    return ["--kernel", ",".join(kernels)] if kernels else ["--type", otherwise]


def check_steps(with_):
    """The suite for every kernel, those that are new first."""
    new = [n for n in with_.kernels if n in with_.candidates]
    for name in [*new, *(n for n in with_.kernels if n not in new)] or [""]:
        what = f"check_{name}" if name else "check"
        command = [with_.program, "check", "--backend", "cuda"]
        command += ["--kernel", name] if name else []
        yield Step(
            what,
            f"is {name or 'every kernel'} right in every case of the suite?",
            (*command, "--json", f"{{folder}}/{what}.json", "--junit", f"{{folder}}/{what}.xml"),
            least_s=6,
            most_s=25,  # an H200 beside 16 cores took 3 to 23 s, of which most is the oracle's
            kind="check",
        )


def tensor_kernels(with_, which):
    """Of one pass; some of them may not take every width."""
    flags = f"{SHAPE} --d {','.join(map(str, WIDTHS))} --pass {which} --q_len 4k"
    return [name for name in with_.flash(flags) if name != FALLBACK]


def asked_first(with_, kernels):
    """The one that is chosen, and the candidates that are named."""
    return [name for name in kernels if name in (kernels[0], *with_.candidates)]


def utilisation_steps(with_, others=False):
    """A process of its own for each, so that clocks and watts are those of one kernel. `others`: of
    those that nobody asks for first."""
    for which in PASSES:
        every = tensor_kernels(with_, which)
        first = asked_first(with_, every)
        kernels = [name for name in every if name not in first] if others else first or [""]
        for d in WIDTHS:
            flags = f"{SHAPE} --q_len 4k --d {d} --pass {which}".split()
            for name in kernels:
                what = "_".join(filter(None, ("utilisation", which, f"d{d}", name)))
                command = [with_.program, "bench", "--backend", "cuda", *flags]
                command += forced([name] if name else [])
                command += ["--min_time", "500ms", "--timeout", "2s"]
                yield Step(
                    what,
                    f"{which} at d = {d}: bound by cycles or by power?",
                    (*command, "--json", f"{{folder}}/{what}.json"),
                    least_s=4,
                    most_s=4,
                    kind="utilisation",
                )


def bench_step(with_, what, answers, flags, how, *, least_s, most_s, sampling=BRIEF):
    """Cases of `bench`; the kernels that `how` forces are sampled in turns. Without --budget: a
    bench that foretells more than that measures nothing, one that is stopped keeps what it has."""
    return Step(
        what,
        answers,
        (
            *(with_.program, "bench", "--backend", "cuda", *flags.split(), *how),
            *sampling.split(),
            *("--json", f"{{folder}}/{what}.json", "--md", f"{{folder}}/{what}.md"),
        ),
        least_s=least_s,
        most_s=most_s,
        kind="bench",
    )


def turns_steps(with_, which):
    """One pass: the kernels in turns in one process, then beside PyTorch's backends."""
    flags = f"{SHAPE} --d 64,128,256 --pass {which} --causal false,true"
    kernels = tensor_kernels(with_, which)
    others = f"{', '.join(kernels)} in turns" if kernels else "the kernel that is chosen"
    question = f"{which}, 1k and 4k: {others}"
    lengths, how = f"{flags} --q_len 1k,4k", forced(kernels)
    yield bench_step(with_, which, question, lengths, how, least_s=25, most_s=45)
    peers = [*(f"flashbench:{name}" for name in kernels[1:]), *PYTORCH]
    what = f"{which}_pytorch"
    command = [with_.python, str(ROOT / "scripts/peers"), "--python", with_.python]
    command += ["--binary", with_.program, "--backend", "cuda", "--rounds", "{rounds}"]
    command += ["--min_time", "200ms", "--timeout", "1s", "--peers", ",".join(peers)]
    command += ["--json", f"{{folder}}/{what}.json", "--reports", f"{{folder}}/{what}"]
    rows = len(WIDTHS) * 2
    round_s = len(PYTORCH) * LOAD_S + rows * (1 + len(peers)) * TURN_S
    yield Step(
        what,
        f"{which}, 4k: faster than PyTorch's backends?",
        (*command, "--", *flags.split(), "--type", "flash", "--q_len", "4k"),
        least_s=round_s,
        most_s=2 * round_s,
        kind="peers",
        missing=with_.pytorch,
        round_s=round_s,
    )


def other_shapes(with_):
    """What the README has tables of beside tensor cores at d <= 256."""
    for what, answers, flags, time in (
        (
            "d512",
            "d = 512: flash against normal",
            f"--b 4 --h 4 --dtype bf16 --q_len 4k --d 512 {BOTH} --causal false,true",
            {"least_s": 10, "most_s": 40},
        ),
        (
            "decode",
            "one query on 8192 keys, 33 and 268 MB of K and V: how much of the read bandwidth?",
            "--b 1,8 --h 32 --h_kv 8 --dtype bf16 --q_len 1 --kv_len 8k --d 128 --pass forward",
            {"least_s": 6, "most_s": 15},
        ),
        (
            "f32",
            "f32: flash against normal",
            f"--b 1 --h 16 --dtype f32 --q_len 4k --d 64,128,512 {BOTH}",
            {"least_s": 12, "most_s": 20},
        ),
    ):
        kernels = with_.flash(flags) + with_.of_type("normal", flags)
        how = forced(kernels, "flash,normal")
        yield bench_step(with_, what, answers, flags, how, **time)


def sanitizer_steps(with_):
    """Of a bug that a right result may hide."""
    edges = {dtype: f"{EDGES} --dtype {dtype} {BOTH}" for dtype in ("bf16", "f32")}
    taken = {dtype: with_.flash(flags) for dtype, flags in edges.items()}
    taken["bf16"] = [name for name in taken["bf16"] if name != FALLBACK]
    for tool in SANITIZERS:
        for dtype, flags in edges.items():
            kernels = taken[dtype]
            if tool == "racecheck":
                kernels = [name for name in kernels if UNKNOWN_TO_RACECHECK not in name]
            if with_.kernels and not kernels:
                continue
            command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
            command += [with_.program, "check", "--backend", "cuda", *flags.split()]
            yield Step(
                f"{tool}_{dtype}",
                f"does {tool} of compute-sanitizer find something?",
                (*command, *forced(kernels)),
                least_s=8,
                most_s=12,
                kind="",
                missing=with_.sanitizer,
            )


def sweep_steps(with_):
    """The papers' figures, which want more than ten minutes: --budget 60m."""
    config = str(ROOT / "configs/flash_attention_3.json")
    for dtype in ("bf16", "f32"):
        step = bench_step(
            with_,
            f"sweep_{dtype}",
            f"the sweep of the FlashAttention papers in {dtype}: N = 512 to 16k, flash and normal",
            f"--config {config} {BOTH} --dtype {dtype}",
            [],
            least_s=240,
            most_s=1200,
            sampling="--budget {budget}",
        )
        yield dataclasses.replace(step, spare=True)


def info_step(program):
    """Peaks of one level of the processor only: all of them take longer than they are worth here,
    and those of the GPU are in every report."""
    command = (program, "info", "--isa", "scalar", "--threads", "1")
    command += ("--json", "{folder}/info.json")
    what = "which card, which kernels?"
    return Step("info", what, command, least_s=5, most_s=10, kind="info")


def planning_step():
    """What goes before all others but `info`: asking.py. It gets no share."""
    what = "which kernels take which cases, is PyTorch here?"
    return Step("plan", what, (), least_s=0, most_s=0, kind="")


def steps(with_):
    """All of them, in order, after `info`."""
    all_of = [*check_steps(with_), *utilisation_steps(with_)]
    for which in PASSES:
        all_of += turns_steps(with_, which)
    all_of += [*other_shapes(with_), *utilisation_steps(with_, others=True)]
    return [*all_of, *sanitizer_steps(with_), *sweep_steps(with_)]


def share(among, seconds):
    """{step's name: its seconds}: what each needs at the least, in order, then what is left over,
    in order. So later steps are shortened and dropped first."""
    given = {}
    for spare in (False, True):
        of = [step for step in among if step.spare == spare]
        for step in of:
            if step.least_s <= seconds:
                given[step.name] = step.least_s
                seconds -= step.least_s
        for step in (step for step in of if step.name in given):
            more = min(step.most_s - step.least_s, seconds)
            given[step.name] += more
            seconds -= more
    return given
