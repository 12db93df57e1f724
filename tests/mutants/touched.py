"""Which faults a change touches, by git: those in lines that it changed, and those whose test or listing it changed."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional

from .mutant import Mutant

# Of each file that changed, the lines as they are now; the first is 1.
Changes = Dict[str, List[range]]

PACKAGE, LISTS = "caffe_fuse/", "tests/mutants/"
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_CONTEXT = 3  # lines around what was deleted, as in the hunks that git shows
_ALL = range(1, 1 << 30)


class NoHistory(Exception):
    """Why git cannot tell what changed."""


class UnknownRevision(Exception):
    """A revision that was asked for, and that a whole history does not have."""


def revision(project: Path, asked: Optional[str] = None) -> str:
    """The commit since which changes count.

    asked: any name of it. Without one it is where the branch left origin/main, and on that itself the commit before.
    """
    _git(project, "rev-parse", "--git-dir")
    if asked is None:
        head, base = _commit(project, "HEAD"), _merge_base(project)
        asked = base if base is not None and base != head else "HEAD~1"
        found = _commit(project, asked)
    else:
        found = _commit(project, asked)
        if found is None and not _is_shallow(project):
            raise UnknownRevision(f"there is no revision {asked}")
    if found is None:
        raise NoHistory(f"there is no revision {asked} in this {'shallow ' * _is_shallow(project)}clone")
    return found


def touched(mutants: Iterable[Mutant], project: Path, since: str) -> List[Mutant]:
    """Those that a change since a commit may have to do with. What is not committed counts."""
    changed = changes(project, since)
    anew = {name for path, lines in changed.items() if _is_list(path) for name in _listed(project / path, lines)}
    return [
        mutant
        for mutant in mutants
        if mutant.name in anew
        or mutant.test_file in changed
        or _meet(_lines(project, mutant), changed.get(f"{PACKAGE}{mutant.file}", ()))
    ]


def changes(project: Path, since: str) -> Changes:
    """What differs from a commit, and what git does not know yet. Lines are told apart where faults stand."""
    differing = _git(project, "diff", "--relative", "--no-renames", "--name-only", "-z", since).split("\0")
    new = _git(project, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    found = {path: [_ALL] for path in (*differing, *new) if path}
    for path in differing:
        if path.startswith((PACKAGE, LISTS)):
            found[path] = list(_hunks(project, since, path))
    return found


def _hunks(project: Path, since: str, path: str) -> Iterator[range]:
    options = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--unified=0")
    # A line of a file begins with +, - or a blank in a diff: with @@ only hunks do.
    for match in map(_HUNK.match, _git(project, "diff", *options, since, "--", path).split("\n")):
        if match is not None:
            old, first, count = (int(number or 1) for number in match.groups())
            first += count == 0  # nothing is left: git names the line before
            around = _CONTEXT if old > count else 0
            yield range(first - around, first + count + around)


def _lines(project: Path, mutant: Mutant) -> range:
    source = (project / PACKAGE / mutant.file).read_text()
    before, text, _ = source.partition(mutant.old)
    first = before.count("\n") + 1
    return range(first, first + text.rstrip("\n").count("\n") + 1)


def _listed(path: Path, lines: Iterable[range]) -> Iterator[str]:
    """The first arguments of the calls in these lines of a file, the names of faults among them."""
    for call in ast.walk(ast.parse(path.read_text() if path.exists() else "")):
        if (
            isinstance(call, ast.Call)
            and call.args
            and isinstance(call.args[0], ast.Constant)
            and _meet(range(call.lineno, (call.end_lineno or call.lineno) + 1), lines)
        ):
            yield str(call.args[0].value)


def _is_list(path: str) -> bool:
    return path.startswith(LISTS) and path.endswith(".py")


def _meet(lines: range, changed: Iterable[range]) -> bool:
    return any(lines.start < other.stop and other.start < lines.stop for other in changed)


def _merge_base(project: Path) -> Optional[str]:
    try:
        return _git(project, "merge-base", "origin/main", "HEAD").strip()
    except NoHistory:
        return None


def _commit(project: Path, name: str) -> Optional[str]:
    try:
        return _git(project, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    except NoHistory:
        return None


def _is_shallow(project: Path) -> bool:
    return _git(project, "rev-parse", "--is-shallow-repository").strip() == "true"


def _git(project: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=project, capture_output=True)
    except OSError as error:
        raise NoHistory(f"git cannot be run: {error.strerror}") from error
    if done.returncode:
        raise NoHistory(done.stderr.decode("utf-8", "replace").strip())
    return done.stdout.decode("utf-8", "replace")
