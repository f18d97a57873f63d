"""The error that scripts end with."""


class Refused(Exception):
    """Bad input, in one line: exit code 2."""
