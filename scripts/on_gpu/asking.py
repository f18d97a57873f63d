"""What is asked of the machine before the first step, each question in a time of its own: a driver
that hangs there must not cost the steps theirs."""

import shutil

from commands import NoAnswer, answer
from refused import Refused

MOST_S = 60.0  # PyTorch takes that long from a disk that nobody has read it from
HAS_PYTORCH = "import sys, torch; sys.exit(not torch.cuda.is_available())"


def limit_s(left_s):
    """For one question, where that much is left for all questions and steps."""
    return max(min(MOST_S, left_s / 4), 1.0)


class Questions:
    """To a program and its libraries. `limit`: gives the seconds that the next question may take;
    `doubts`: what nobody answered and what is done instead, in a line each."""

    def __init__(self, flashbench, limit=lambda: MOST_S):
        self.flashbench, self.limit = flashbench, limit
        self.doubts, self.taken, self.hangs = [], {}, False

    def takes(self, kernels, device):
        """A function: which of them take some case of these flags there, as a dry run says. All, in
        doubt; after a dry run that hangs there is no other."""

        def of(flags):
            if flags not in self.taken and not self.hangs:
                self.taken[flags] = self.dry_run(kernels, device, flags)
            return self.taken.get(flags, kernels)

        return of

    def dry_run(self, kernels, device, flags):
        where = ["--backend", "cuda", *device, "--kernel", ",".join(kernels), "--dry_run"]
        words = ["check", *flags.split(), *where]
        try:
            report = self.flashbench.run(*words, codes=(0, 3), timeout_s=self.limit())
            possible = [r for r in report["results"] if r.get("refusal") != "unsupported"]
            return {r["kernel_request"] for r in possible}
        except NoAnswer as why:
            self.hangs = True
            self.doubt(why)
        except Refused as why:
            self.doubt(why)
        except (AttributeError, KeyError, TypeError, ValueError) as why:  # of what it answers
            self.doubt(f"its answer is not understood: {type(why).__name__}: {why}")
        return kernels

    def doubt(self, why):
        line = f"every kernel is tried, since a dry run does not say which take the cases: {why}"
        if line not in self.doubts:
            self.doubts.append(line)

    def missing_pytorch(self, python):
        """Why there is nothing to compare with; "" where there is."""
        try:
            code, _, _ = answer([python, "-c", HAS_PYTORCH], self.limit())
        except NoAnswer as why:
            return f"{why}, asked whether it has PyTorch with CUDA"
        except OSError:
            code = None
        return "" if code == 0 else f"{python} has no PyTorch with CUDA (scripts/peers --install)"


def missing_sanitizer():
    return "" if shutil.which("compute-sanitizer") else "compute-sanitizer is not on the PATH"
