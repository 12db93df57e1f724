"""examples/fold_in_a_notebook.ipynb runs as it is, and shows what the stored outputs say."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from conftest import PROJECT

NOTEBOOK = PROJECT / "examples" / "fold_in_a_notebook.ipynb"
# Their outputs depend on no processor: the model, its half range, the report, and its rows.
EXACT = 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the current folder, a copy of examples/ beside the sample nets."""
    (tmp_path / "sample_nets").symlink_to(PROJECT / "sample_nets")
    (tmp_path / "examples").mkdir()
    shutil.copy(NOTEBOOK, tmp_path / "examples")
    monkeypatch.chdir(tmp_path / "examples")
    return tmp_path / "examples"


def code_cells() -> Iterator[Tuple[str, List[Dict[str, Any]]]]:
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"]), cell["outputs"]


def shown(outputs: List[Dict[str, Any]]) -> str:
    texts = [output.get("text") or output["data"]["text/plain"] for output in outputs]
    return "\n".join("".join(text).rstrip("\n") for text in texts)


def ran(source: str, names: Dict[str, Any]) -> Any:
    """Runs a cell; returns the value of its last line, if that is an expression."""
    lines = source.splitlines()
    try:
        last = compile(lines[-1], NOTEBOOK.name, "eval")
    except SyntaxError:
        exec(compile(source, NOTEBOOK.name, "exec"), names)
        return None
    exec(compile("\n".join(lines[:-1]), NOTEBOOK.name, "exec"), names)
    return eval(last, names)


def test_the_cells_run_and_show_what_is_stored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: Dict[str, Any] = {}
    cells = [(source, outputs) for source, outputs in code_cells() if "IPython" not in source]
    assert EXACT < len(cells)
    for place, (source, outputs) in enumerate(cells):
        value = ran(source, names)
        printed = capsys.readouterr().out.rstrip("\n")
        if place < EXACT:
            assert shown(outputs) == (printed if value is None else repr(value))
        if value is not None and place < EXACT:
            assert "".join(outputs[0]["data"]["text/html"]) == value._repr_html_()
    assert "<svg" in (folder / "digits_fused.html").read_text(encoding="utf-8")
    assert (folder / "digits_fused.caffemodel").exists()


@pytest.mark.slow
def test_nbconvert_runs_it(folder: Path) -> None:
    missing = [name for name in ("nbconvert", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: pip install nbconvert ipykernel")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--execute", NOTEBOOK.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert 0 == done.returncode, done.stderr
    page = (folder / f"{NOTEBOOK.stem}.html").read_text(encoding="utf-8")
    assert "Report: safe: every value rounds to an fp16 value near it" in page
    assert "second in half" in page
    assert 'src="digits_fused.html"' in page
