"""Data walks down the street once: each house imports only from the houses before it."""

import ast
from pathlib import Path

STREET = (
    "venues",
    "risk",
    "market",
    "sources",
    "quality",
    "exposure",
    "features",
    "signals",
    "hedging",
    "decision",
    "execution",
    "journal",
    "simulation",
    "study",
    "stress",
    "appraisal",
    "watch",
    "trading",
    "rehearsal",
    "cli",
)
SOURCE = Path(__file__).parents[1] / "src" / "counterpoise"


def houses_imported(file: Path) -> set[str]:
    """Houses a file imports anything from, inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    parts = (name.split(".") for name in found)
    return {part[1] for part in parts if part[0] == "counterpoise" and len(part) > 1} & set(STREET)


def test_every_house_is_on_the_street() -> None:
    houses = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert houses == set(STREET)


def test_no_house_imports_from_one_further_down() -> None:
    uphill = [
        f"{file.relative_to(SOURCE)} imports {other}"
        for place, house in enumerate(STREET)
        for file in sorted((SOURCE / house).glob("*.py"))
        for other in houses_imported(file)
        if STREET.index(other) > place
    ]
    assert uphill == []


def test_words_everyone_speaks_depend_on_no_house() -> None:
    for file in sorted(SOURCE.glob("*.py")):
        assert houses_imported(file) == set(), file.name
