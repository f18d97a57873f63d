"""The command `flashbench` of the wheel: the program that lies in this package."""

import os
import pathlib
import sys

PACKAGE = pathlib.Path(__file__).resolve().parent


def get_include():
    """The folder of flashbench_kernel.h, the header that plug-ins are compiled with."""
    return str(PACKAGE / "include")


def main():
    program = PACKAGE / "bin/flashbench"
    if not program.is_file():
        sys.exit(f"flashbench: there is no program {program}; this package is not of a wheel")
    os.execv(program, [str(program), *sys.argv[1:]])


if __name__ == "__main__":
    main()
