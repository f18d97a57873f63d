"""Cases of one library in this process: no program is started but flashbench, no peak is probed."""

import peerlib
from harness import PROGRAM, ScriptTest
from measuring import Peer

FAST = ["--min_time", "1ms", "--min_samples", "3", "--timeout", "100ms", "--threads", "2"]


class OneLibrary(ScriptTest):
    library = None  # of the whole test, made once

    def measured(self, flags, library=None):
        """The results of the cases of fused attention that the flags name."""
        library = library or self.library
        parser = peerlib.make_parser(library, "")
        arguments = [*FAST, "--type", "flash", "--flashbench", PROGRAM, *flags.split()]
        options, rest = parser.parse_known_args(arguments)
        peerlib.complete(options, library)
        peer = Peer(library, options, self.folder)
        cases = peer.flashbench.problems([*rest, "--type", options.type])
        return [peer.measure(case)["results"][0] for case in cases]

    def passed(self, flags, *kernels, library=None):
        """Every case passes, by these kernels, where they are named."""
        results = self.measured(flags, library)
        for r in results:
            verdict = r["check"] and r["check"]["verdict"]
            self.assertEqual((r["status"], verdict), ("ok", "pass"), (flags, r["reason"]))
            self.assertGreater(r["median"], 0)
        if kernels:
            self.assertEqual({r["kernel"] for r in results}, set(kernels), flags)

    def skipped(self, flags, says, library=None):
        for r in self.measured(flags, library):
            self.assertEqual((r["status"], r["refusal"]), ("skipped", "unsupported"), flags)
            self.assertIn(says, r["reason"])
