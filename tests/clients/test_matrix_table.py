"""The table of the long matrix in docs/clients.md names every client and setting that is tested, and no other.

The clients themselves run in `tests/matrix.sh`, which writes the table.
"""

import re
from pathlib import Path

from matrix import cases, table

ADVICE = "run tests/matrix.sh, which writes the table of docs/clients.md"


def test_every_case_has_its_row_and_every_row_its_case():
    known = cases.versions()
    assert all(version for client, version in known.items() if client != "curl")
    expected = [table.beginning(group, known[group[0].client]) for group in table.groups()]
    found = table.rows()
    for row in [*expected, *found]:
        # Its version is the machine's.
        if row[0] == "curl":
            row[1] = None
    assert [row[:-2] for row in found] == expected, ADVICE
    assert len({case.name for case in cases.CASES}) == len(cases.CASES)


def test_every_row_was_found_to_be_counted():
    assert {row[-1] for row in table.rows()} == {"as the client was told"}, ADVICE


def test_every_client_of_these_tests_is_in_the_table():
    here = Path(__file__).parent
    pinned = re.findall(
        r"^([\w.\[\]-]+)==", "".join(path.read_text() for path in here.glob("**/requirements.in")), re.MULTILINE
    )
    tools = {"pytest", "requests", "trustme"}
    assert set(pinned) - tools - {case.client for case in cases.CASES} == set()
    # No program was added and forgotten.
    modules = [*here.glob("test_*.py"), here / "matrix" / "cases.py"]
    named = "".join(path.read_text(encoding="utf-8") for path in modules)
    assert {path.name for path in cases.PROGRAMS.iterdir() if path.name not in named} == set()
