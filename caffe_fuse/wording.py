"""How messages are put: counts, and what to do about a finding."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Tuple

VERDICT = "verdict    "  # how its line begins
FEW = 5


def shown(text: str) -> str:
    """One line for a terminal: what does not print as itself, such as a line end or a mark of direction, is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, noun: str) -> str:
    """1 blob, 2 blobs, 1,000 blobs."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def few(names: Iterable[object]) -> str:
    """The first of them: what a message lists must not grow with the net."""
    listed = [str(name) for name in names]
    return ", ".join(listed[:FEW]) + (", ..." if listed[FEW:] else "")


class Typed(NamedTuple):
    """What was typed, for the command that comes next: the files of a net, the options about it, and all options."""

    files: Tuple[str, ...]
    about_net: Tuple[str, ...] = ()
    options: Tuple[str, ...] = ()

    def for_command(self, name: str) -> Tuple[str, ...]:
        """`fuse` takes all that `check` does; `upgrade` takes no option about the net."""
        return {"fuse": self.options or self.about_net, "upgrade": ()}.get(name, self.about_net)


class Remedy(NamedTuple):
    """What to do, in words; and the command that does it, if one does: its name, then its options."""

    text: str
    command: Tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """Without the files: the options, or the command where it is another one."""
        if not self.command:
            return self.text
        name, *options = self.command
        return f"{self.text}: {' '.join(options) or f'caffe-fuse {name}'}"

    def told(self, typed: Typed) -> str:
        """With the command as it is to be typed."""
        if not self.command:
            return self.text
        import shlex

        name, *options = self.command
        given = typed.for_command(name)
        new = [] if " ".join(options) in " ".join(given) else options
        return f"{self.text}: {shlex.join(['caffe-fuse', name, *typed.files, *given, *new])}"
