"""What the tests of somebody's PTX share."""

import json
import re

from harness import CliTest

EMULATED = ["--device", "emulated"]


class PtxTest(CliTest):
    def check(self, ptx, *args, code=0, **kwargs):
        return self.expect(code, "check", *EMULATED, "--ptx", ptx, *args, "--quiet", **kwargs)

    def check_json(self, ptx, *args, code=0):
        return self.validated(self.check(ptx, *args, "--json", "-", code=code).stdout)["results"]

    def write(self, name, text, launch):
        (self.folder / f"{name}.ptx").write_text(text)
        (self.folder / f"{name}.json").write_text(launch if isinstance(launch, str) else json.dumps(launch))
        return f"{name}.ptx"

    def expect_race(self, done, text, kernel):
        """The finding names the race and the line of the PTX that it stands in."""
        found = re.search(rf"{kernel}: the emulated device found: race in .*?\[PTX line (\d+): ([^\]]*)", done.stdout)
        self.assertTrue(found, done.stdout)
        line = text.splitlines()[int(found[1]) - 1]
        self.assertIn(found[2].strip().split()[0], line)


# Of one key, softmax is 1: O = V and dV = dO of the one query, dQ and dK are zero.
COPY = """.version 8.0
.target sm_75
.address_size 64
.visible .entry copy(.param .u64 from, .param .u64 to, .param .u32 n, .param .f32 unused)
{
.reg .pred %p;
.reg .b32 %r<5>;
.reg .b64 %rd<5>;
ld.param.u64 %rd0, [from];
ld.param.u64 %rd1, [to];
ld.param.u32 %r0, [n];
mov.u32 %r1, %ctaid.x;
mov.u32 %r2, %tid.x;
mad.lo.u32 %r1, %r1, 32, %r2;
setp.ge.u32 %p, %r1, %r0;
@%p ret;
mul.wide.u32 %rd2, %r1, 4;
add.s64 %rd0, %rd0, %rd2;
add.s64 %rd1, %rd1, %rd2;
ld.global.u32 %r3, [%rd0];
st.global.u32 [%rd1], %r3;
ret;
}
"""
ONE_KEY = ["--b", "2", "--h", "3", "--q_len", "1", "--kv_len", "1", "--d", "20"]


def copies(source, target, n="b * h * d", entry="copy"):
    return {"entry": entry, "grid": [f"ceil_div({n}, 32)"], "block": [32],
            "arguments": [source, target, {"u32": n}, {"f32": "scale / 2"}]}


def one_key(**more):
    return {"dtypes": ["f32"], "requires": ["q_len == 1", "kv_len == 1"], "forward": copies("v", "o"), **more}
