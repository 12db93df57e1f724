"""Lines of the terminal form of a report: the first few of a list unless -v asks for all, and as wide as a terminal."""

from __future__ import annotations

from typing import List, Sequence

SHOWN = 8
CUT = "..."


def shortened(lines: Sequence[str], verbose: bool) -> List[str]:
    return shortened_items([[line] for line in lines], verbose)


def shortened_items(items: Sequence[Sequence[str]], verbose: bool) -> List[str]:
    """The lines of the first few items and the count of the others; with -v the lines of all."""
    lines = [line for item in (items if verbose else items[:SHOWN]) for line in item]
    if verbose or len(items) <= SHOWN:
        return lines
    return [*lines, f"  ... and {len(items) - SHOWN} more (-v lists them)"]


def fitted(line: str, width: int, indent: int = 4) -> List[str]:
    """The line, wrapped where it is wider than a terminal; `indent` columns are free before what follows."""
    if len(line) <= width:
        return [line]
    import textwrap

    start = " " * (len(line) - len(line.lstrip()))
    wrapped = textwrap.wrap(
        line.lstrip(), width, initial_indent=start, subsequent_indent=" " * indent, break_on_hyphens=False
    )
    return [part.rstrip() for part in wrapped]


def wrote_lines(paths: Sequence[str]) -> List[str]:
    return [f"wrote      {path}" for path in paths]


def without_middle(name: str, most: int) -> str:
    """The name in at most `most` characters: names of a net differ at their ends."""
    kept = most - len(CUT)
    return name if len(name) <= most else name[: kept // 2] + CUT + name[-(kept - kept // 2) :]


def powers(exponents: Sequence[int]) -> str:
    """What the channels of a blob are multiplied by."""
    least, most = min(exponents), max(exponents)
    return f"2^{least}" if least == most else f"2^{least} to 2^{most}"
