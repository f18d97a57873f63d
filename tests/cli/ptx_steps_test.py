"""Passes of several steps of somebody's PTX: launches of several modules, and copies that a host makes between them."""

import unittest

from ptx_harness import COPY, EMULATED, ONE_KEY, PtxTest, copies, one_key

# to[i] = from[i] * other[i].
PRODUCTS = COPY.replace("entry copy", "entry products").replace(".param .f32 unused", ".param .u64 other").replace(
    "st.global.u32",
    """ld.param.u64 %rd3, [other];
add.s64 %rd3, %rd3, %rd2;
ld.global.u32 %r4, [%rd3];
mul.rn.f32 %r3, %r3, %r4;
st.global.u32""")
LOG2_E, LN_2 = "1.4426950408889634", "0.6931471805599453"


def workspace(*names):
    return {name: "4 * b * h * d" for name in names}


class Copies(PtxTest):
    def verdict(self, launch, *args, text=COPY, code=0, problem=ONE_KEY):
        (result,) = self.check_json(self.write("copy", text, launch), *problem, *args, "--pass", "forward", code=code)
        return result

    def test_a_scaled_copy_is_what_the_kernel_reads(self):
        """K times scale and log2(e), as Triton's tutorial wants it: here V times that, and the kernel's result back."""
        launch = one_key(workspace=workspace("scaled", "done"), forward=[
            {"copy": "v", "to": "scaled", "times": f"scale * {LOG2_E}"}, copies("scaled", "done"),
            {"copy": "done", "to": "o", "times": f"{LN_2} / scale"}])
        self.assertEqual(self.verdict(launch)["check"]["verdict"], "pass")
        launch["forward"][0]["times"] = 1
        self.assertEqual(self.verdict(launch, code=1)["status"], "failed")

    def test_a_factor_beyond_f32_is_named(self):
        launch = one_key(workspace=workspace("scaled"), forward=[
            {"copy": "v", "to": "scaled", "times": "1000000000000 * 1000000000000 * 1000000000000 * 1000000000000"}, copies("v", "o")])
        self.assertIn("v times 1e+48 is copied to scaled, which f32 does not hold", self.verdict(launch, code=1)["reason"])

    def test_a_workspace_may_be_of_another_dtype_than_its_tensor(self):
        """The kernel copies words of 32 bits, in which V of bf16 and O of f16 have their places by conversion alone."""
        launch = one_key(dtypes=["bf16", "f16"], workspace=workspace("wide", "done"), forward=[
            {"copy": "v", "to": "wide", "dtype": "f32"}, copies("wide", "done"), {"copy": "done", "to": "o", "dtype": "f32"}])
        for dtype in ("bf16", "f16"):
            self.assertEqual(self.verdict(launch, "--dtype", dtype)["check"]["verdict"], "pass")

    def test_lse_in_base_2_is_judged_as_the_natural_one(self):
        """Of one key and d = 1 LSE is scale * q * k."""
        products = copies("q", "m") | {"entry": "products"}
        products["arguments"] = ["q", "m", {"u32": "b * h * d"}, "k"]
        forward = [copies("v", "o"), products, {"copy": "m", "to": "m2", "times": f"scale * {LOG2_E}", "dtype": "f32"},
                   {"copy": "m2", "to": "lse", "times": LN_2}]
        launch = one_key(workspace=workspace("m", "m2"), forward=forward, requires=["d == 1"])
        text = COPY + PRODUCTS[PRODUCTS.index(".visible"):]
        result = self.verdict(launch, text=text, problem=[*ONE_KEY[:-1], "1"])
        self.assertEqual(result["check"]["verdict"], "pass")
        self.assertIn("lse", str(result["check"]).lower())
        forward[-1]["times"] = 1
        self.assertIn("LSE", self.verdict(launch, text=text, problem=[*ONE_KEY[:-1], "1"], code=1)["reason"])

    def test_a_backward_gets_this_programs_lse_in_base_2(self):
        launch = one_key(workspace=workspace("m"), backward=[
            {"copy": "lse", "to": "m", "times": LOG2_E}, copies("m", "dq", "b * h"), {"zero": "dq"}, {"zero": "dk"},
            copies("do", "dv")])
        del launch["forward"]
        self.check(self.write("copy", COPY, launch), *ONE_KEY, "--pass", "backward")

    def test_a_copy_of_what_nobody_wrote_fails(self):
        launch = one_key(workspace=workspace("empty"), forward=[{"copy": "empty", "to": "o"}])
        self.assertIn("it copies empty to o, and nothing has written 480 bytes of it", self.verdict(launch, code=1)["reason"])

    def test_a_copy_that_does_not_fit_is_named(self):
        launch = one_key(workspace={"small": 8}, forward=[{"copy": "v", "to": "small"}, copies("v", "o")])
        self.assertIn("small has 8 bytes, too few for 120 numbers of f32", self.verdict(launch, code=1)["reason"])

    def test_a_copy_to_an_input_is_seen(self):
        launch = one_key(forward=[copies("v", "o"), {"copy": "v", "to": "k"}])
        self.assertIn("it wrote to k, which is an input", self.verdict(launch, code=1)["reason"])

    def test_what_is_wrong_with_a_copy_is_one_line(self):
        for step, says in (
            ({"copy": "v"}, "'to' is missing"),
            ({"copy": "v", "to": "out"}, "unknown argument 'out'"),
            ({"copy": "v", "to": "a", "by": 2}, "unknown member 'by'; it may have copy, to, times, dtype"),
            ({"copy": "v", "to": "a", "times": "tokens"}, "unknown name 'tokens'; it may be b, h"),
            ({"copy": "key_mask", "to": "a"}, "a key_mask has no numbers to copy"),
            ({"copy": "v", "to": "o", "dtype": "f32"}, "'dtype' is of a workspace, and both ends are tensors"),
            ({"copy": "a", "to": "c"}, "'dtype' is missing, and both ends are workspaces"),
            ({"copy": "v", "to": "a", "dtype": "e4m3"}, "dtype: expected f32, bf16 or f16"),
        ):
            with self.subTest(says=says):
                ptx = self.write("copy", COPY, one_key(workspace=workspace("a", "c"), forward=[step, copies("v", "o")]))
                self.refuse("check", *EMULATED, "--ptx", ptx, *ONE_KEY, "--pass", "forward", says=["forward[0]", says])


class Modules(PtxTest):
    def test_a_launch_may_be_of_another_file(self):
        (self.folder / "second.ptx").write_text(COPY.replace("entry copy", "entry again"))
        second = copies("between", "o") | {"entry": "again", "ptx": "second.ptx"}
        launch = one_key(workspace=workspace("between"), forward=[copies("v", "between"), second])
        (result,) = self.check_json(self.write("first", COPY, launch), *ONE_KEY, "--pass", "forward")
        self.assertEqual(result["check"]["verdict"], "pass")
        self.assertRegex(result["guest"]["build"], r"launched by first\.json [0-9a-f]{12}, with second\.ptx [0-9a-f]{12}$")

    def test_what_is_wrong_with_the_other_file_is_one_line(self):
        (self.folder / "second.ptx").write_text(COPY)
        (self.folder / "broken.ptx").write_text(COPY.replace(".entry", ".nonsense"))
        for step, says in (({"ptx": "third.ptx"}, "third.ptx: No such file"),
                           ({"ptx": "broken.ptx"}, "forward[0]: broken.ptx"),
                           ({"ptx": "second.ptx", "entry": "again"}, "second.ptx has no entry 'again'; it has copy")):
            with self.subTest(says=says):
                ptx = self.write("first", COPY, one_key(forward=[copies("v", "o") | step]))
                self.refuse("check", *EMULATED, "--ptx", ptx, *ONE_KEY, "--pass", "forward", says=["forward[0]", says])


if __name__ == "__main__":
    unittest.main()
