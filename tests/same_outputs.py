"""Whether another revision folds every pair of files at hand to the same bytes: for changes that must not show.

    python tests/same_outputs.py REVISION [FOLDER ...]

Folds each pair in tests/data, sample_nets and the given folders with the working tree and with REVISION, and compares
the prototxt, the weights, the JSON report, the status and what was printed. Exits with 1 where a new net differs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Dict, List, Tuple

PROJECT = Path(__file__).resolve().parent.parent
WEIGHTS = (".caffemodel", ".h5")
# Runs in a process of its own, with one revision first on its path.
DRIVER = """
import contextlib, io, json, sys
from caffe_fuse.cli import main
for line in sys.stdin:
    place, *pair = json.loads(line)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main(["fuse", *pair, "-o", place + "/out", "--report", place + "/report.json", "--force"])
    with open(place + "/printed.txt", "w") as file:
        file.write(f"{status}\\n{out.getvalue()}")
"""


def pairs(folders: List[Path]) -> List[Tuple[Path, Path]]:
    """Each prototxt with the weight files that stand beside it, by their names."""
    found: List[Tuple[Path, Path]] = []
    for net in sorted(path for folder in folders for path in folder.rglob("*.prototxt")):
        beside = sorted(path for path in net.parent.iterdir() if path.name.endswith(WEIGHTS))
        same = [path for path in beside if path.name.split(".")[0] == net.stem]
        found += [(net, weights) for weights in same or beside]
    return found


def fold_all(tree: Path, found: List[Tuple[Path, Path]], target: Path) -> None:
    """Runs in `target` with relative names for outputs, so that no path differs."""
    places = [Path(str(number)) for number in range(len(found))]
    for place in places:
        (target / place).mkdir(parents=True)
    jobs = "".join(json.dumps([str(place), *map(str, pair)]) + "\n" for place, pair in zip(places, found))
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tree)!r})\n{DRIVER}"]
    subprocess.run(command, cwd=target, input=jobs, text=True, check=True)


def compare(old: Path, new: Path, found: List[Tuple[Path, Path]]) -> Dict[str, List[str]]:
    """The nets whose outputs differ, by the name of the file that does."""
    different: Dict[str, List[str]] = {}
    for number, pair in enumerate(found):
        names = {path.name for side in (old, new) for path in (side / str(number)).iterdir()}
        for name in sorted(names):
            contents = [(side / str(number) / name) for side in (old, new)]
            if len({path.read_bytes() if path.is_file() else None for path in contents}) > 1:
                different.setdefault(name, []).append("/".join(pair[1].parts[-2:]))
    return different


def differing_fields(old: Path, new: Path, found: List[Tuple[Path, Path]]) -> Dict[str, int]:
    """The fields of the JSON reports that differ, each with the number of nets."""
    counts: Counter[str] = Counter()
    for number in range(len(found)):
        paths = [side / str(number) / "report.json" for side in (old, new)]
        if all(path.is_file() for path in paths):
            before, after = (json.loads(path.read_bytes()) for path in paths)
            counts.update(name for name in {*before, *after} if before.get(name) != after.get(name))
    return dict(counts.most_common())


def main(arguments: List[str]) -> int:
    revision, *folders = arguments
    found = pairs(
        [PROJECT / "tests" / "data", PROJECT / "sample_nets", *(Path(folder).resolve() for folder in folders)]
    )
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        tree = place / "tree"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", str(tree), revision], cwd=PROJECT, check=True)
        try:
            for side, source in (("old", tree), ("new", PROJECT)):
                fold_all(source, found, place / side)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=PROJECT, check=True)
        different = compare(place / "old", place / "new", found)
        fields = differing_fields(place / "old", place / "new", found)
        statuses = Counter(
            (place / "new" / str(number) / "printed.txt").read_text().split("\n")[0] for number in range(len(found))
        )
    print(f"{len(found)} pairs, statuses {dict(sorted(statuses.items()))}")
    for name, where in sorted(different.items()):
        print(f"{name} differs for {len(where)}: {', '.join(where[:10])}{' ...' if len(where) > 10 else ''}")
    print(f"fields of the JSON reports that differ: {fields}")
    return 1 if any(name.startswith("out.") for name in different) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
