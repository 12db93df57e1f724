"""Suggestions for unknown names: the known name that was probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Iterable

LIKENESS = 0.85  # a letter missing or two swapped in a name of eight, but not a fork's name with another word in it
TYPED = 0.6  # of a word that must be one of those known: no other Caffe has a right to it


def nearest(name: str, known: Iterable[str], likeness: float = LIKENESS) -> str:
    """The known name that is most similar, ignoring case; "" if none is similar enough."""
    spellings = {known_name.lower(): known_name for known_name in known}
    matches = get_close_matches(name.lower(), spellings, 1, likeness)
    return spellings[matches[0]] if matches else ""


def hint(meant: str) -> str:
    """The suggestion in a message, "" if there is none."""
    return f" (did you mean {meant}?)" if meant else ""


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """The suggestion for a word that a user typed and that is none of those known; "" if none is like it."""
    return hint(nearest(typed, known, TYPED))
