"""The wording of messages: counts, lists of names, and remedies."""

from __future__ import annotations

import os
from typing import Iterable, NamedTuple, Tuple

VERDICT = "verdict    "  # the start of its line
FEW = 5
# File names that do not identify a net; its folder does.
ANONYMOUS = frozenset({"deploy", "test", "train_val", "model"})


def shown(text: str) -> str:
    """The text as one line for a terminal; characters that do not print, such as line ends, are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, noun: str) -> str:
    """The count with its noun: 1 blob, 2 blobs, 1,000 blobs."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def few(names: Iterable[object]) -> str:
    """The first names, and "..." for the others: the length of a message must not grow with the net."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:FEW]) + (", ..." if listed[FEW:] else "")


def called_after(path: str) -> str:
    """What a net is called after its file, or its folder if the name of the file is that of many."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return (os.path.basename(os.path.dirname(os.path.abspath(path))) or stem) if stem in ANONYMOUS else stem


class Typed(NamedTuple):
    """The words of this command that the next one repeats: the files of a net, the options about it, all options."""

    files: Tuple[str, ...]
    about_net: Tuple[str, ...] = ()
    options: Tuple[str, ...] = ()

    def for_command(self, name: str) -> Tuple[str, ...]:
        """The options for the next command: `fuse` takes all of `check`; `upgrade` takes none about the net."""
        return {"fuse": self.options or self.about_net, "upgrade": ()}.get(name, self.about_net)


def _names_device(words: Iterable[str]) -> bool:
    """Whether one of the two options is there that name a device, which exclude each other."""
    return any(word.split("=")[0] in ("--half-policy", "--target") for word in words)


class Remedy(NamedTuple):
    """What to do: a text, and the command that does it, if there is one: its name, then its options."""

    text: str
    command: Tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """The text without file names: with the options, or the name of a command without options."""
        if not self.command:
            return self.text
        name, *options = self.command
        return f"{self.text}: {' '.join(options) or f'caffe-fuse {name}'}"

    def in_full(self, typed: Typed) -> str:
        """The text with the complete command to type."""
        if not self.command:
            return self.text
        import shlex

        name, *options = self.command
        given = typed.for_command(name)
        known = " ".join(options) in " ".join(given) or (_names_device(options) and _names_device(given))
        new = [] if known else options
        return f"{self.text}: {shlex.join(['caffe-fuse', name, *typed.files, *given, *new])}"
