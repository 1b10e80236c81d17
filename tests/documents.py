"""Checks what the documents promise: every link leads somewhere, every command and every file they name exists.

Commands are looked for in code, both in blocks and between backquotes. `tollgate` commands are held against the
program's own --help; TOLLGATE_BINARY says where the program is.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BINARY = os.environ["TOLLGATE_BINARY"]
GLOBS = ["*.md", "docs/**/*.md", "examples/**/*.md", "certs/*.md", "contrib/*.md", "tests/**/*.md"]
# Settings that no option has: they are read by the log filter and by the programs in examples/.
OTHER_VARIABLES = {"TOLLGATE_LOG"}

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```|((?:^(?: {4}|\t)[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?<![\w/.-])(?:\./)?((?:tests|examples|docs|certs|contrib|src)/[\w./-]*\w)")
VARIABLE = re.compile(r"\bTOLLGATE_[A-Z_]+\b")


def help_of(*command):
    result = subprocess.run([BINARY, *command, "--help"], capture_output=True, text=True, check=True)
    return result.stdout


def anchors(path):
    """The fragments that GitHub gives the headings of a document."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


class Checker:
    def __init__(self):
        self.problems = []
        self.links = self.commands = self.paths = 0
        commands = help_of().partition("Commands:")[2].partition("Options:")[0]
        names = re.findall(r"^  (\w+) ", commands, re.MULTILINE)
        assert "demo" in names and "log" in names, names
        self.help = {name: help_of(name) for name in names if name != "help"}
        for name, text in self.help.items():
            within = text.partition("Commands:")[2].partition("Options:")[0]
            within = [command for command in re.findall(r"^  (\w+) ", within, re.MULTILINE) if command != "help"]
            self.help[name] = text + "".join(help_of(name, command) for command in within)
        self.help[""] = help_of()
        self.variables = OTHER_VARIABLES | set(VARIABLE.findall("".join(self.help.values())))
        for program in [*ROOT.glob("examples/*"), *ROOT.glob("examples/node/*.mjs"), ROOT / "tests/all.sh"]:
            if program.is_file() and program.suffix != ".md":
                self.variables |= set(VARIABLE.findall(program.read_text(encoding="utf-8")))

    def check(self, path):
        text = path.read_text(encoding="utf-8")
        where = path.relative_to(ROOT)
        for link in LINK.findall(CODE_BLOCK.sub("\n", text)):
            self.link(path, where, link)
        blocks = [fenced or indented for fenced, indented in CODE_BLOCK.findall(text)]
        lines = [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
        for code in lines + CODE_SPAN.findall(CODE_BLOCK.sub("\n", text)):
            self.code(where, code.strip())

    def link(self, path, where, link):
        if re.match(r"[a-z]+:", link):
            return
        self.links += 1
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            self.problems.append(f"{where}: {link} leads nowhere")
        elif fragment and fragment not in anchors(target):
            self.problems.append(f"{where}: {link}: no such heading")

    def code(self, where, code):
        for found in PATH.findall(code):
            self.paths += 1
            if not (ROOT / found).exists():
                self.problems.append(f"{where}: `{code}`: there is no {found}")
        for variable in VARIABLE.findall(code):
            if variable not in self.variables:
                self.problems.append(f"{where}: `{code}`: nothing reads {variable}")
        words = re.split(r"\s+", re.sub(r"(^|\s)#.*| {3,}.*|[|].*|…", " ", code).strip())
        words = [word for word in words if not re.match(r"[A-Z_]+=", word) and word != "$"]
        if words[:2] == ["cargo", "run"] and "--" in words:
            words = ["tollgate", *words[words.index("--") + 1 :]]
        if words and words[0] == "tollgate" and len(words) > 1:
            self.command(where, code, words[1:])

    def command(self, where, code, words):
        self.commands += 1
        name = words[0] if words[0] in self.help else ""
        if not name and not words[0].startswith("-"):
            self.problems.append(f"{where}: `{code}`: there is no command {words[0]}")
            return
        # What stands behind -- is another program's.
        for word in words[: words.index("--")] if "--" in words else words:
            option = re.match(r"--?[a-z][a-z-]*", word)
            if option and not re.search(rf"(?<![\w-]){re.escape(option[0])}\b(?!-)", self.help[name]):
                self.problems.append(f"{where}: `{code}`: `tollgate {name}` has no {option[0]}")


def main():
    checker = Checker()
    documents = sorted({path for glob in GLOBS for path in ROOT.glob(glob) if "node_modules" not in path.parts})
    for path in documents:
        checker.check(path)
    for problem in checker.problems:
        print(problem)
    counted = f"{checker.links} links, {checker.commands} commands and {checker.paths} paths"
    if not (checker.links and checker.commands and checker.paths):
        sys.exit(f"only {counted} were found: the documents are not read as they are written")
    if checker.problems:
        sys.exit(f"{len(checker.problems)} problems in {len(documents)} documents")
    print(f"{len(documents)} documents: {counted}, all there")


main()
