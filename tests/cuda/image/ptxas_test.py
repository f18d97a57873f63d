"""What the build refuses of ptxas: spills, local memory, and what it only remarks. CMAKE, PTXAS and
PTXAS_GATES (the script that runs ptxas) are in the environment."""

import os
import pathlib
import subprocess
import tempfile
import unittest

HEADER = ".version 8.0\n.target sm_90a\n.address_size 64\n"

SOUND = HEADER + ".visible .entry k() { ret; }\n"

# Without a bound on its threads ptxas cannot tell how many registers a thread has at its start.
SETMAXNREG_IGNORED = HEADER + ".visible .entry k() { setmaxnreg.dec.sync.aligned.u32 24; ret; }\n"

# An accumulator is read before the wait for it.
WAIT_INJECTED = HEADER + """
.visible .entry k(.param .u64 out, .param .u64 a) .maxntid 128, 1, 1 {
  .reg .pred %p<2>; .reg .f32 %f<9>; .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [out]; ld.param.u64 %rd2, [a]; setp.eq.u64 %p1, %rd2, 0;
  mov.f32 %f1, 0f00000000; mov.f32 %f2, %f1; mov.f32 %f3, %f1; mov.f32 %f4, %f1;
  wgmma.fence.sync.aligned;
  wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f1, %f2, %f3, %f4}, %rd2, %rd2, %p1, 1, 1, 0, 0;
  add.f32 %f5, %f1, 0f3F800000;
  wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;
  add.f32 %f6, %f2, %f5; add.f32 %f7, %f3, %f6; add.f32 %f8, %f4, %f7;
  st.global.f32 [%rd1], %f8;
  ret;
}
"""

LOCAL_MEMORY = HEADER + """
.visible .entry k(.param .u64 out, .param .u32 i) {
  .local .align 4 .b8 array[64];
  .reg .b32 %r<4>; .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [out]; ld.param.u32 %r1, [i]; mul.wide.u32 %rd2, %r1, 4;
  mov.u64 %rd3, array; add.s64 %rd4, %rd3, %rd2;
  st.local.u32 [%rd4], %r1; ld.local.u32 %r2, [%rd3]; st.global.u32 [%rd1], %r2;
  ret;
}
"""


def spilling():
    """More values that live at once than the registers that a thread may have."""
    n = 40
    lines = [f"ld.volatile.global.u32 %r{i}, [%rd1+{4 * i}];" for i in range(n)]
    lines += [f"st.volatile.global.u32 [%rd1+{4 * i}], %r{n - 1 - i};" for i in range(n)]
    return HEADER + (
        ".visible .entry k(.param .u64 data) .maxnreg 24 {\n"
        f".reg .b32 %r<{n}>; .reg .b64 %rd<2>; ld.param.u64 %rd1, [data];\n"
        + "\n".join(lines)
        + "\nret; }\n"
    )


class Gates(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.cubin = self.folder / "k.cubin"

    def compile(self, ptx, *more, ptxas=None):
        source = self.folder / "k.ptx"
        source.write_text(ptx)
        command = [
            os.environ["CMAKE"],
            f"-DPTXAS={ptxas or os.environ['PTXAS']}",
            "-DARCH=sm_90a",
            f"-DPTX={source}",
            f"-DCUBIN={self.cubin}",
            *more,
            "-P",
            os.environ["PTXAS_GATES"],
        ]
        return subprocess.run(command, capture_output=True, text=True)

    def refuse(self, ptx, says, **more):
        done = self.compile(ptx, **more)
        self.assertNotEqual(done.returncode, 0, done.stderr)
        self.assertIn(says, done.stderr)
        self.assertFalse(self.cubin.exists(), "what is refused must not satisfy the next build")

    def test_sound_code_passes(self):
        done = self.compile(SOUND)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(self.cubin.exists())

    def test_a_spill_is_an_error(self):
        self.refuse(spilling(), "spilled to local memory")

    def test_local_memory_is_an_error(self):
        self.refuse(LOCAL_MEMORY, "Local memory used")

    def test_local_memory_passes_where_it_is_an_exception(self):
        done = self.compile(LOCAL_MEMORY, "-DLOCAL_MEMORY=ON")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_setmaxnreg_that_ptxas_ignores_is_an_error(self):
        self.refuse(SETMAXNREG_IGNORED, "(C7508)")

    def test_a_wait_for_wgmma_that_ptxas_injects_is_an_error(self):
        self.refuse(WAIT_INJECTED, "(C7517)")

    def test_serialised_wgmma_is_an_error(self):
        """A remark that this ptxas gives only for larger kernels, said by a stand-in."""
        stand_in = self.folder / "ptxas"
        stand_in.write_text(
            '#!/bin/sh\nfor cubin; do :; done\ntouch "$cubin"\n'
            'echo "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are'
            ' serialized due to insufficient register resources for the wgmma pipeline" >&2\n'
        )
        stand_in.chmod(0o755)
        self.refuse(SOUND, "(C7510)", ptxas=stand_in)


if __name__ == "__main__":
    unittest.main()
