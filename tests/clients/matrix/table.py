"""The table of docs/clients.md: written from what the long matrix found, read by the default run.

    python tests/clients/matrix/table.py [--check] RESULTS.json

puts the rows between the two marks, or fails where they differ. A row is made of the case and its counts alone, so the
same clients give the same table on every machine; only curl's version is the machine's, and no difference.
"""

import json
import re
import sys
from pathlib import Path

# As a program this file has no package around it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from matrix import cases  # noqa: E402

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "clients.md"
RESULTS = "results.json"
BEGIN = "<!-- The rows are written by tests/matrix.sh. -->"
END = "<!-- Until here. -->"
HEAD = ["Client", "Version", "Setting", "Credentials", "Entry", "Calls", "Tokens", "Result"]


def groups():
    """The cases of each row: those that differ in their credentials alone."""
    found = {}
    for case in cases.CASES:
        found.setdefault((case.client, case.setting, case.entry, case.operations), []).append(case)
    return list(found.values())


def beginning(group, version):
    """What a row has before the counts, which only a run can tell."""
    first = group[0]
    calls = ", ".join(f"`{operation}`" for operation in dict.fromkeys(first.operations))
    keys = ", ".join(case.keys for case in group)
    return [first.client, version, first.setting, keys, f"`{first.entry}`", calls]


def ending(group, results):
    """`results` has input and output tokens of each call, by the name of the case."""
    found = [results.get(case.name) for case in group]
    if None in found:
        return ["", "not run: this machine lacks what it needs"]
    # The question is the same, so the counts are.
    assert all(counts == found[0] for counts in found) or group[0].prompt_of_its_own, found
    tokens = "its own prompt" if group[0].prompt_of_its_own else ", ".join(f"{sent} + {got}" for sent, got in found[0])
    return [tokens, "as the client was told"]


def line(row):
    return f"| {' | '.join(row)} |"


def written(results):
    known = cases.versions()
    found = [beginning(group, known[group[0].client] or "") + ending(group, results) for group in groups()]
    return "\n".join([BEGIN, line(HEAD), line(["---"] * len(HEAD)), *map(line, found), END])


def rows():
    """The rows of the document as it is."""
    text = DOCUMENT.read_text(encoding="utf-8")
    lines = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    split = [[cell.strip() for cell in row.strip("|").split("|")] for row in lines]
    if not split or split[0] != HEAD:
        raise SystemExit(f"{DOCUMENT} has no table between {BEGIN} and {END}")
    return split[2:]


def main():
    arguments = sys.argv[1:]
    check = arguments[:1] == ["--check"]
    if len(arguments) != 1 + check:
        raise SystemExit(__doc__)
    results = json.loads(Path(arguments[-1]).read_text(encoding="utf-8"))
    text = DOCUMENT.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{DOCUMENT} lacks {BEGIN} or {END}")
    new = written(results)
    if not check:
        DOCUMENT.write_text(before + new + after, encoding="utf-8")
    elif without_curl(BEGIN + old + END) != without_curl(new):
        raise SystemExit(f"the table of {DOCUMENT} is not what was found: run tests/matrix.sh")


def without_curl(table):
    """The table without the one version that is the machine's."""
    return re.sub(r"^[|] curl [|][^|]*[|]", "", table, flags=re.MULTILINE)


if __name__ == "__main__":
    main()
