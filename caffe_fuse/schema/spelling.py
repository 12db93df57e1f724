"""Names that nobody knows, with the known name that was probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Iterable

LIKENESS = 0.85  # one letter left out or two changed places in a name of eight; a fork's name with a new word is not


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of the known names that is most like it, whatever the case; "" if none is."""
    spellings = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), spellings, 1, LIKENESS)
    return spellings[found[0]] if found else ""


def hint(meant: str) -> str:
    """What a message says of it."""
    return f" (did you mean {meant}?)" if meant else ""
