"""The list of mutants fits the code: each fault can be applied, and its test exists. `tests/mutants.py` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutants import MUTANTS, PROJECT, Mutant, check_sound


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_text_of_a_fault_stands_once_in_its_file(mutant: Mutant) -> None:
    assert 1 == (PROJECT / "caffe_fuse" / mutant.file).read_text().count(mutant.old)
    assert mutant.old != mutant.new


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_test_of_a_fault_exists(mutant: Mutant) -> None:
    path, _, name = mutant.test.partition("::")
    content = (PROJECT / path).read_text()
    assert name == "" or f"\ndef {name.partition('[')[0]}(" in content


def test_a_test_that_fails_without_a_fault_is_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_red.py").write_text("def test_red():\n    assert not 'without a fault'\n")
    monkeypatch.setattr("mutants.MUTANTS", [Mutant("f", "net.py", "", "", "test_red.py")])
    with pytest.raises(SystemExit, match="without any fault"):
        check_sound(tmp_path)


def test_the_names_of_faults_differ() -> None:
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS})
