"""The parser of a command: its help with examples, and messages that say which word was probably meant."""

from __future__ import annotations

import argparse
from typing import Callable, Iterable, List, NoReturn, Sequence, Tuple

from ..errors import InputError

EXIT_STATUS = (
    (0, "done"),
    (1, "the result is not safe: the lines that begin with `next` say what helps"),
    (2, "the input or the command line cannot be used"),
    (3, "the system refused (disk full, no permission), or an internal error"),
    (130, "interrupted"),
)


class Parser(argparse.ArgumentParser):
    """The parser of `caffe-fuse NAME`.

    examples: what is typed after NAME, and what it does. lists: the titles of names that the help lists at its end.
    """

    def __init__(self, name: str, description: str, examples: Sequence[Tuple[str, str]], lists: Sequence[str]) -> None:
        super().__init__(
            prog=f"caffe-fuse {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self.set_defaults(command=name)
        self._examples, self._lists = examples, lists

    def error(self, message: str) -> NoReturn:
        raise InputError(message, remedy=f"see {self.prog} --help")

    def understood(self, words: Sequence[str]) -> argparse.Namespace:
        """The parsed words. Raises InputError for those that are no options of the command."""
        # By itself argparse takes a positional argument after options, such as WEIGHTS, for an unknown one.
        options, others = self.parse_known_intermixed_args(words)
        if others:
            self.error(f"unrecognized arguments: {' '.join(map(self._with_hint, others))}")
        return options

    def ending(self) -> str:
        """The end of the help: examples, names, and the exit status."""
        sections = [section("examples", [f"{self.prog} {words}\n      {what}" for words, what in self._examples])]
        sections += [names_section(title) for title in self._lists]
        return "\n\n".join([*sections, exit_status_section()])

    def format_help(self) -> str:
        self.epilog = self.ending()
        return super().format_help()

    def _with_hint(self, word: str) -> str:
        if not word.startswith("-"):
            return word
        from ..spelling import TYPED, hint, nearest

        # Without the dashes, in which all are alike.
        known = {option[2:]: option for option in self._option_string_actions if option.startswith("--")}
        return word + hint(known.get(nearest(word.lstrip("-").split("=")[0], known, TYPED), ""))


def any_case(names: Sequence[str]) -> Callable[[str], str]:
    """The type of an option that takes one of these names."""

    def spelled(typed: str) -> str:
        found = {name.lower(): name for name in names}.get(typed.lower())
        if found is None:
            from ..spelling import did_you_mean

            raise argparse.ArgumentTypeError(
                f"{typed!r} is not known{did_you_mean(typed, names)}; choose from {', '.join(names)}"
            )
        return found

    return spelled


def exit_status_section() -> str:
    return section("exit status", [f"{status:<4} {meaning}" for status, meaning in EXIT_STATUS])


def section(title: str, lines: Iterable[str]) -> str:
    """A section of a help text, laid out as those that argparse makes."""
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)])


def names_section(title: str) -> str:
    """The names of a table of the package. Only here: the tables load numpy, which only the help of a command needs."""
    import textwrap

    return section(title, textwrap.wrap(", ".join(_NAMES[title]()), 76, break_on_hyphens=False))


def _targets() -> List[str]:
    from ..targets import TARGETS

    return list(TARGETS)


def _half_policies() -> List[str]:
    from ..half.targets import POLICIES

    return list(POLICIES)


def _dialects() -> List[str]:
    from ..layers.batch_norm import DIALECTS

    return sorted({dialect.name for dialect in DIALECTS})


POLICY_NAMES, TARGET_NAMES, DIALECT_NAMES = "half policies", "targets", "BatchNorm dialects"
_NAMES = {POLICY_NAMES: _half_policies, TARGET_NAMES: _targets, DIALECT_NAMES: _dialects}
