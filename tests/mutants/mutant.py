"""What a deliberate fault is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]


class Mutant(NamedTuple):
    """In `file` (of the package), `old` stands exactly once and becomes `new`; `test` fails then."""

    name: str
    file: str
    old: str
    new: str
    test: str

    @property
    def test_file(self) -> str:
        return self.test.partition("::")[0]
