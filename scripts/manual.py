#!/usr/bin/env python3
"""Writes the manual page and the completions of bash, zsh and fish out of what `--help` says, which
the program makes of its table of flags.

    python3 scripts/manual.py build/release/flashbench app/manual
"""

import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys

LONGEST = 60  # characters of a description in a list of completions
CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
KERNELS = "info --kernels"  # asked when they are wanted: builds differ

# Values that the help has in sentences of their own.
OTHER_WORDS = {
    "as": ["sm_80", "sm_90"],
    "by": ["type", "isa", "threads", "dtype"],
    "device": ["emulated"],
    "fail_on": ["slower", "ambiguous", "missing", "skipped", "none"],
    "rounds": ["gradients_of_query_heads"],
}


@dataclasses.dataclass
class Flag:
    name: str
    value: str  # "" for a switch
    help: str

    def plain(self):
        """The help without what brackets explain; those of a formula, sqrt(d), stay."""
        return re.sub(r"(?:^| )\((?:[^()]|\([^()]*\))*\)", "", self.help).strip()

    def is_switch(self):
        """True where it stands bare."""
        return not self.value and self.name not in ("help", "version")

    def words(self):
        """The values that it takes, where they are few: those that the help lists, of "f32, bf16 or
        f16 (default: f32)" these three; the configs that come with the program."""
        if self.is_switch() or self.value == "BOOL":
            return ["true", "false"]
        if self.name == "config":
            return sorted(path.stem for path in CONFIGS.glob("*.json"))
        if self.name in OTHER_WORDS:
            return OTHER_WORDS[self.name]
        found = re.search(r"(?:^|: |time: )((?:[\w-]+, )*[\w-]+ or [\w-]+)", self.plain())
        if not found or not self.value:
            return []
        words = re.split(r", | or ", found.group(1))
        return [w for w in words if w != "FILE" and not w.isdigit()]

    def takes_file(self):
        named = {"FILE", "JSON", "OLD", "NEW"}
        return bool(named & set(self.value.split())) or "FILE" in self.plain().split()

    def brief(self):
        """Its help as a list of completions has room for it."""
        text = self.plain().split("; ")[0]
        return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " ..."


@dataclasses.dataclass
class Command:
    name: str
    summary: str
    more: str
    groups: list  # of (title, [Flag])

    def flags(self):
        return [flag for _, flags in self.groups for flag in flags]


def parse_command(name, text):
    lines = text.splitlines()
    summary = lines[0].split(": ", 1)[1]
    more, groups = [], []
    for line in lines[1:]:
        flag = re.match(r"  --(\w+)(?: (\S+(?: \S+)*))?(?:  +(\S.*))?$", line)
        if flag:
            if not groups[-1][1] and more and more[-1] == groups[-1][0] + ":":
                more.pop()
            groups[-1][1].append(Flag(flag[1], flag[2] or "", flag[3] or ""))
        elif re.match(r"[A-Z].*:$", line):
            groups.append((line[:-1], []))
            more.append(line)
        elif groups and groups[-1][1] and line.startswith("    "):
            last = groups[-1][1][-1]
            last.help = f"{last.help} {line.strip()}".strip()
        else:
            more.append(line)
    return Command(name, summary, "\n".join(more).strip(), [g for g in groups if g[1]])


def ask(program, *args):
    done = subprocess.run([program, *args], capture_output=True, text=True, check=True)
    return done.stdout


def commands_of(program):
    """(the general help, every command)."""
    general = ask(program, "--help")
    names = re.findall(r"^  (\w+) +\S", general.split("Commands:\n")[1], re.M)
    return general, [parse_command(name, ask(program, name, "--help")) for name in names]


# ---- the manual page -----------------------------------------------------------------------------


def roff(text):
    """As it stands, whatever it begins with."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\n".join("\\&" + line if line.startswith(".") else line for line in text.split("\n"))


def verbatim(text):
    return f".nf\n{roff(text)}\n.fi\n"


def flag_entry(flag, takers, every):
    value = "".join(f" \\fI{roff(word)}\\fR" for word in flag.value.split())
    whose = "" if len(takers) == every else f" [{', '.join(takers)}]"
    return f".TP\n\\fB\\-\\-{roff(flag.name)}\\fR{value}\n{roff((flag.help + whose).strip())}\n"


def flag_sections(commands):
    """Every flag once under its heading; behind it the commands that take it."""
    groups, takers = {}, {}
    for command in commands:
        for title, flags in command.groups:
            for flag in flags:
                key = (title, flag.name)
                takers.setdefault(key, []).append(command.name)
                groups.setdefault(title, {}).setdefault(flag.name, flag)
    text = ""
    for title, flags in groups.items():
        text += f".SS {roff(title)}\n"
        for name, flag in flags.items():
            text += flag_entry(flag, takers[title, name], len(commands))
    return text


def manual(general, commands):
    first, codes = general.split("\n", 1)[0], general.split("Exit codes: ")[1]
    text = '.\\" Made by scripts/manual.py of what --help says.\n.TH FLASHBENCH 1\n.SH NAME\n'
    text += f"flashbench \\- {roff(first.split(': ', 1)[1])}\n.SH SYNOPSIS\n"
    for command in commands:
        text += f".B flashbench {command.name}\n[\\fIflags\\fR]\n.br\n"
    text += ".B flashbench \\-\\-help\n.br\n.B flashbench \\-\\-version\n.SH COMMANDS\n"
    for command in commands:
        more = re.sub(r"^Usage: .*\n+", "", command.more)
        text += f".SS {command.name}\n{roff(command.summary)}\n.PP\n{verbatim(more)}"
    text += ".SH FLAGS\nIn brackets: the commands that take a flag, where not all do.\n"
    text += flag_sections(commands) + ".SH EXIT STATUS\n"
    for entry in re.split(r"[;.]\s+", " ".join(codes.split()) + " "):
        if entry:
            numbers, meaning = re.match(r"(\d+(?:(?:, | and )\d+)*) (.*)", entry).groups()
            text += f".TP\n.B {numbers.replace(' and ', ', ')}\n{roff(meaning)}\n"
    return text


# ---- completions ---------------------------------------------------------------------------------


def bash(commands):
    names = " ".join(c.name for c in commands)
    cases = words = ""
    for command in commands:
        flags = " ".join(f"--{flag.name}" for flag in command.flags())
        cases += f"    {command.name}) flags='{flags}' ;;\n"
    seen = {flag.name: flag for command in commands for flag in command.flags()}
    for flag in seen.values():
        if flag.name == "kernel":
            words += f'    --kernel) words=$("${{COMP_WORDS[0]}}" {KERNELS} 2>/dev/null) ;;\n'
        elif flag.words():
            words += f"    --{flag.name}) words='{' '.join(flag.words())}' ;;\n"
    files = "|".join(f"--{f.name}" for f in seen.values() if f.takes_file())
    others = "|".join(
        f"--{f.name}" for f in seen.values() if f.value and not f.takes_file() and not f.words()
    )
    switches = "|".join(f"--{f.name}" for f in seen.values() if f.is_switch())
    return f"""# bash completion of flashbench. Made by scripts/manual.py of what --help says.
_flashbench() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} flag=${{COMP_WORDS[COMP_CWORD-1]}} flags= words= before=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '{names} help --help --version' -- "$cur"))
    return
  fi
  if [[ ${{COMP_WORDS[1]}} == help ]]; then
    if ((COMP_CWORD == 2)); then COMPREPLY=($(compgen -W '{names}' -- "$cur")); fi
    return
  fi
  if [[ $cur == '=' ]]; then cur=
  elif [[ $flag == '=' ]]; then flag=${{COMP_WORDS[COMP_CWORD-2]}}; fi
  case ${{COMP_WORDS[1]}} in
{cases}  esac
  case $flag in
{words}  esac
  if [[ -n $words ]]; then  # the rest of a list: f32,bf
    if [[ $cur == *,* ]]; then before=${{cur%,*}},; fi
    COMPREPLY=($(compgen -P "$before" -W "$words" -- "${{cur##*,}}"))
  fi
  case $flag in
    {files}) COMPREPLY+=($(compgen -f -- "$cur")) ;;
    {others}) ;;
    {switches}) COMPREPLY+=($(compgen -W "$flags" -- "$cur")) ;;
    *) if [[ -z $words ]]; then
         if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$cur"))
         else COMPREPLY=($(compgen -W "$flags" -- "--${{cur#--}}") $(compgen -f -- "$cur")); fi
       fi ;;
  esac
}}
complete -o filenames -F _flashbench flashbench
"""


def zsh_flag(flag):
    brief = re.sub(r"([\[\]:\\])", r"\\\1", flag.brief()).replace("'", "'\\''")
    text = f"--{flag.name}[{brief}]"
    if flag.is_switch():
        text += "::BOOL:_sequence compadd - true false"
    for value in flag.value.split():
        if flag.name == "kernel":
            action = f"_sequence compadd - $(flashbench {KERNELS} 2>/dev/null)"
        elif flag.words():
            action = f"_sequence compadd - {' '.join(flag.words())}"
            if flag.takes_file():
                action = f'_alternative "w\\:word\\:({" ".join(flag.words())})" "f\\:file\\:_files"'
        else:
            action = "_files" if flag.takes_file() else " "
        text += f":{value}:{action}"
    return f"      '{text}'"


def zsh(commands):
    names = "\n".join(f"    '{c.name}:{c.summary.replace(':', chr(92) + ':')}'" for c in commands)
    cases = ""
    for command in commands:
        flags = " \\\n".join(map(zsh_flag, command.flags()))
        cases += (
            f"    {command.name})\n      _arguments \\\n{flags} \\\n      '*:report:_files' ;;\n"
        )
    return f"""#compdef flashbench
# Made by scripts/manual.py of what --help says.
_flashbench() {{
  local -a commands=(
{names}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    _arguments '--help[this text]' '--version[git description, compiler and flags]'
    return
  fi
  local command=$words[2]
  if [[ $command == help ]]; then
    if ((CURRENT == 3)); then _describe command commands; fi
    return
  fi
  shift words
  ((CURRENT--))
  case $command in
{cases}  esac
}}
_flashbench "$@"
"""


def fish(commands):
    def quoted(text):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    text = "# fish completion of flashbench. Made by scripts/manual.py of what --help says.\n"
    text += "complete -c flashbench -f\n"
    for command in commands:
        text += (
            "complete -c flashbench -n __fish_use_subcommand -a "
            f"{command.name} -d {quoted(command.summary)}\n"
        )
    names = " ".join(command.name for command in commands)
    text += "complete -c flashbench -n __fish_use_subcommand -a help -d 'the flags of a command'\n"
    text += f"complete -c flashbench -n '__fish_seen_subcommand_from help' -a '{names}'\n"
    for command in commands:
        for flag in command.flags():
            line = f"complete -c flashbench -n '__fish_seen_subcommand_from {command.name}'"
            line += f" -l {flag.name}"
            if flag.value:
                line += " -r -F" if flag.takes_file() else " -x"
            words = " ".join(flag.words())
            if flag.name == "kernel":
                words = f"(flashbench {KERNELS} 2>/dev/null)"
            if words:
                line += f" -a {quoted(words)}"
            text += f"{line} -d {quoted(flag.brief())}\n" if flag.brief() else f"{line}\n"
    text += "complete -c flashbench -n '__fish_seen_subcommand_from compare' -F\n"
    return text


def pages(program):
    """name of a file -> its text."""
    general, commands = commands_of(program)
    return {
        "flashbench.1": manual(general, commands),
        "flashbench.bash": bash(commands),
        "_flashbench": zsh(commands),
        "flashbench.fish": fish(commands),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", help="a built flashbench")
    parser.add_argument("folder", help="where to write")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(options.program).items():
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
