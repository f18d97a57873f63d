"""The fields of a case, as the schema of reports names and describes them. Standard library only.

lib/sweep has one table of them, from which the build writes the schema: what is added there shows
in pictures and tables without a word here. lib/report/schema.h says what stands beside each.
"""

import functools
import json
import os
import pathlib
import shutil

SCHEMA = "flashbench-report.schema.json"


def schema_paths():
    """Where the schema may lie: beside these sources, or where the program is installed."""
    yield pathlib.Path(__file__).resolve().parents[2] / "lib/report/schema" / SCHEMA
    for program in (os.environ.get("FLASHBENCH"), shutil.which("flashbench")):
        if program:
            prefix = pathlib.Path(program).resolve().parents[1]
            yield prefix / "share/flashbench" / SCHEMA


@functools.cache
def schema():
    paths = list(schema_paths())
    for path in paths:
        if path.is_file():
            return json.loads(path.read_text())
    raise FileNotFoundError(
        f"{SCHEMA} is not in {' or '.join(str(path.parent) for path in paths)}; "
        "name an installed flashbench in $FLASHBENCH"
    )


class Field:
    """One member of a result, or of its workload, that tells what the case is."""

    def __init__(self, name, says, in_workload):
        self.name = name
        self.in_workload = in_workload
        self.is_switch = says["type"] == "boolean"
        self.may_be_null = "null" in says["type"]
        self.default = says.get("default")
        self.title = says.get("title", name)
        self.of = says["x-of"]  # "problem", "execution" or "timing"
        self.flag = says.get("x-flag", name)  # None: runs decide it
        self.is_key = says["x-key"]
        self.order = says["x-order"]
        self.phrase = says.get("x-phrase", name + " {}")
        self.short = says.get("x-short")
        self.axis = says.get("x-axis")
        self.column = says.get("x-column")
        self.always = says.get("x-always", False)
        self.follows = says.get("x-follows")

    def value(self, result):
        """Reports of before the field was there have its default, or what it follows."""
        holder = result["workload"] if self.in_workload else result
        value = holder.get(self.name, self.default)
        follows = value is None and self.axis and self.follows
        return BY_NAME[self.follows].value(result) if follows else value

    def text(self, result):
        """`4 heads`, `causal`, `no sinks`; "" for null, for a switch that is off and for lengths of
        sequences that have their own. What is null and follows another field is said with that
        one's value."""
        if self.name in LENGTHS and is_ragged(result):
            return ""
        value = self.value(result)
        if value is None and self.follows:
            value = BY_NAME[self.follows].value(result)
        if value is None or value is False:
            return ""
        return self.name if self.is_switch else self.said(value)

    def said(self, value):
        """`none` of a flag, and a 0 that stands for it, are no number or name of anything."""
        if value == NONE:
            begins = self.phrase.startswith("{}")
            return self.phrase.format("no") if begins else f"not {self.name}"
        if value == self.default == 0:
            return f"{self.name} 0"
        return said(self.phrase, value)

    def is_usual(self, result):
        """Whether it goes without saying. What follows by a rule, as a scale, always does; null is
        what it follows."""
        if self.always:
            return False
        if self.follows:
            if self.axis:
                return self.value(result) == BY_NAME[self.follows].value(result)
            return not self.may_be_null or self.value(result) is None
        return self.value(result) == self.default


NONE = "none"
LENGTHS = ("b", "q_len", "kv_len")  # that sequences of their own lengths stand for


def is_ragged(result):
    return result["workload"].get("ragged", NONE) != NONE


def said(phrase, value):
    """The phrase with its value; one of several is no plural."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    phrase = phrase.format(text)
    if text != "1":
        return phrase
    return f"{phrase[:-3]}y" if phrase.endswith("ies") else phrase.removesuffix("s")


def read_fields():
    definitions = schema()["definitions"]
    found = [
        Field(name, says, where == "workload")
        for where in ("workload", "result")
        for name, says in definitions[where]["properties"].items()
        if "x-of" in says
    ]
    return sorted(found, key=lambda field: field.order)


FIELDS = read_fields()
BY_NAME = {field.name: field for field in FIELDS}
AXES = sorted((field for field in FIELDS if field.axis), key=lambda field: field.axis)


class Trait:
    """What may tell results apart: a field, or those that are said together."""

    def __init__(self, name, fields):
        self.name = name
        self.fields = fields
        self.of = fields[0].of
        self.is_joint = len(fields) > 1

    def text(self, result):
        if not self.is_joint:
            return self.fields[0].text(result)
        parts = [f.text(result) for f in self.fields if not f.is_usual(result)]
        return " + ".join(filter(None, parts)) or f"no {self.name}"

    def sort_key(self, result):
        return self.text(result) if self.is_joint else self.fields[0].value(result)

    def cell(self, result):
        """Where a heading names it."""
        if self.is_joint or self.fields[0].is_switch:
            return self.text(result)
        value = self.fields[0].value(result)
        return "" if value is None else str(value)

    def is_usual(self, result):
        return not self.is_joint and self.fields[0].is_usual(result)


def traits():
    """{name: Trait} of all that a user may ask for, in order."""
    columns = {}
    for field in FIELDS:
        if field.flag is not None:
            columns.setdefault(field.column or field.flag, []).append(field)
    return {name: Trait(name, fields) for name, fields in columns.items()}


TRAITS = traits()


def short_text(trait, result):
    """What case_text says of a trait; "" where it goes without saying."""
    field = trait.fields[0]
    if trait.is_joint:
        return "" if all(f.is_usual(result) for f in trait.fields) else trait.text(result)
    if field.short:
        follows = field.follows and field.is_usual(result)
        return "" if follows else field.short.format(field.value(result))
    return "" if field.is_usual(result) else field.text(result)


def case_text(result):
    """A case in one line: `flash forward f32 b1 h8 hkv2 q512 d64 causal`."""
    lengths = LENGTHS if is_ragged(result) else ()
    words = [
        short_text(t, result) for t in TRAITS.values() if t.of == "problem" and t.name not in lengths
    ]
    return " ".join([result["type"], *filter(None, words)])


def key_fields(*without):
    """The members of a result that make it the same case, but for these."""
    members = [f.name for f in FIELDS if f.is_key and not f.in_workload]
    return ("workload", *(name for name in members if name not in without))
