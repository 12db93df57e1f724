"""The types of arguments of the library: a wrong one is a TypeError that says what was expected."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any, Iterable, Mapping, NamedTuple, Tuple, Type, Union


class Kind(NamedTuple):
    """What an argument may be. said: in words, with an article."""

    said: str
    types: Tuple[Type[Any], ...]
    never: Tuple[Type[Any], ...] = ()

    def or_none(self) -> Kind:
        return Kind(f"{self.said}, or None", (*self.types, type(None)), self.never)


FLAG = Kind("True or False", (bool,))
INTEGER = Kind("an integer", (Integral,), never=(bool,))
NUMBER = Kind("a number", (Real,), never=(bool,))
NAME = Kind("a name", (str,))
NAMES = Kind("a name or several", (str, Iterable), never=(bytes,))
PATH = Kind("a path", (str, os.PathLike))
PATHS = Kind("a sequence of paths", (Iterable,), never=(str, bytes))
DICT = Kind("a dict", (Mapping,))


def expect(kind: Kind, **arguments: Any) -> None:
    """Raises TypeError for the first of the arguments that is not of this kind."""
    for name, value in arguments.items():
        if not isinstance(value, kind.types) or isinstance(value, kind.never):
            raise TypeError(f"{name} is of type {type(value).__name__}, but {kind.said} is expected")


def names(**argument: Union[str, Iterable[str]]) -> Tuple[str, ...]:
    """The names in the one argument: a single string is one name, not its letters. Raises TypeError for others."""
    ((option, given),) = argument.items()
    expect(NAMES, **{option: given})
    found = (given,) if isinstance(given, str) else tuple(given)
    for each in found:
        expect(NAME, **{f"each of {option}": each})
    return found
