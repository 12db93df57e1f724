"""The lists of faults fit the code, and what a change touches is told. `tests/mutants/run.py` tries them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import List

import pytest
from mutants import LISTS, MUTANTS, PROJECT, Mutant, run
from mutants.touched import NoHistory, UnknownRevision, revision, touched

with_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_text_of_a_fault_stands_once_in_its_file(mutant: Mutant) -> None:
    assert 1 == (PROJECT / "caffe_fuse" / mutant.file).read_text().count(mutant.old)
    assert mutant.old != mutant.new


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_test_of_a_fault_exists(mutant: Mutant) -> None:
    path, *names = mutant.test.split("::")
    content = (PROJECT / path).read_text()
    for name in names:
        assert re.search(rf"^ *(def|class) {name.partition('[')[0]}\b", content, re.MULTILINE)


def test_each_file_lists_the_faults_of_a_room() -> None:
    files = {path.stem for path in Path(run.__file__).parent.glob("*.py")}
    assert files == {*(faults.__name__.split(".")[-1] for faults in LISTS), "__init__", "mutant", "run", "touched"}
    for faults in LISTS:
        room = faults.__name__.split(".")[-1].split("_")[0]
        found = {mutant.file.split("/")[0] if "/" in mutant.file else "root" for mutant in faults.MUTANTS}
        assert {room} == found


def test_a_test_that_fails_without_a_fault_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "test_red.py").write_text("def test_red():\n    assert not 'without a fault'\n")
    with pytest.raises(SystemExit, match="without any fault"):
        run.check_sound(tmp_path, [Mutant("f", "net.py", "", "", "test_red.py")])


def test_the_names_of_faults_differ() -> None:
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS})


ONE = Mutant("one", "net/a.py", "return 1", "", "tests/net/test_a.py::test_one")
TWO = Mutant("two", "net/a.py", "return 2", "", "tests/net/test_a.py::test_two")
FAR = Mutant("far", "net/b.py", "x = 1", "x = 2", "tests/net/test_b.py")
FAULTS = (ONE, TWO, FAR)


class History:
    """A repository whose first commit has the faults above, their tests and their list."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet")
        lines = "".join(f"# {number}\n" for number in range(10))
        self.write("caffe_fuse/net/a.py", f"def one():\n    return 1\n{lines}def two():\n    return 2\n")
        self.write("caffe_fuse/net/b.py", "x = 1\n")
        self.write("tests/net/test_a.py", "")
        self.write("tests/net/test_b.py", "")
        self.write("tests/mutants/net.py", "".join(f'Mutant(\n    "{fault.name}",\n    "",\n)\n' for fault in FAULTS))
        self.first = self.commit()

    def git(self, *arguments: str) -> str:
        options = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        command = ["git", *options, *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.PIPE).stdout.decode().strip()

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def exchange(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a")
        return self.git("rev-parse", "HEAD")

    def touched(self) -> List[Mutant]:
        return touched(FAULTS, self.folder, self.first)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@with_git
def test_nothing_changed_touches_no_fault(history: History) -> None:
    assert [] == history.touched()


@with_git
@pytest.mark.parametrize("committed", [False, True])
def test_a_fault_is_touched_by_a_change_of_its_lines(history: History, committed: bool) -> None:
    history.exchange("caffe_fuse/net/a.py", "def two():\n", "def two(x):\n")
    history.exchange("caffe_fuse/net/a.py", "return 2\n", "return 2\n# behind\n")
    if committed:
        history.commit()
    assert [] == history.touched()
    history.exchange("caffe_fuse/net/a.py", "return 2\n", "return 2 + x\n")
    if committed:
        history.commit()
    assert [TWO] == history.touched()


@with_git
def test_a_fault_is_touched_where_lines_beside_it_go(history: History) -> None:
    history.exchange("caffe_fuse/net/a.py", "# 8\n", "")
    assert [TWO] == history.touched()
    history.exchange("caffe_fuse/net/a.py", "# 9\ndef two():\n", "def two(): # 9\n")
    assert [TWO] == history.touched()
    history.exchange("caffe_fuse/net/a.py", "# 1\n", "")
    assert [ONE, TWO] == history.touched()


@with_git
def test_a_fault_is_touched_by_a_change_of_its_test_file(history: History) -> None:
    history.write("tests/net/test_a.py", "x = 1\n")
    assert [ONE, TWO] == history.touched()


@with_git
def test_a_fault_is_touched_where_it_is_listed_anew(history: History) -> None:
    history.exchange("tests/mutants/net.py", '"two",\n    ""', '"two",\n    "changed"')
    assert [TWO] == history.touched()


@with_git
def test_a_file_that_git_does_not_know_yet_is_a_change(history: History) -> None:
    history.write("caffe_fuse/net/c.py", "y = 1\n")
    new = FAR._replace(file="net/c.py", old="y = 1")
    assert [new] == touched((*FAULTS, new), history.folder, history.first)


@with_git
def test_changes_count_since_the_branch_left_main(history: History) -> None:
    with pytest.raises(NoHistory, match="no revision HEAD~1 in this clone"):
        revision(history.folder)
    commits = [history.commit() for _ in range(3)]
    assert commits[1] == revision(history.folder)
    history.git("update-ref", "refs/remotes/origin/main", history.first)
    assert history.first == revision(history.folder)
    history.git("update-ref", "refs/remotes/origin/main", commits[2])
    assert commits[1] == revision(history.folder)
    assert commits[0] == revision(history.folder, commits[0][:12])
    with pytest.raises(UnknownRevision, match="no revision nowhere"):
        revision(history.folder, "nowhere")


@with_git
def test_a_shallow_clone_may_not_have_the_revision(history: History, tmp_path: Path) -> None:
    last = history.commit()
    history.git("clone", "--quiet", "--depth", "1", history.folder.as_uri(), "shallow")
    shallow = history.folder / "shallow"
    with pytest.raises(NoHistory, match="no revision HEAD~1 in this shallow clone"):
        revision(shallow)
    with pytest.raises(NoHistory, match="in this shallow clone"):
        revision(shallow, history.first)
    assert last == revision(shallow, "HEAD")


@pytest.mark.parametrize("path", [None, ""])
def test_without_git_or_a_repository_none_is_tried(
    path: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mutants.run.PROJECT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if path is not None:
        monkeypatch.setenv("PATH", str(path))
    assert 0 == run.main(["--since"])
    assert "none is tried" in capsys.readouterr().out


def test_of_many_faults_some_are_tried_and_the_others_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: List[Mutant] = []

    def survivors_of(mutants: List[Mutant]) -> int:
        tried.extend(mutants)
        return 1

    monkeypatch.setattr("mutants.run.survivors_of", survivors_of)
    monkeypatch.setattr("mutants.run.MUTANTS", [FAR._replace(name=str(number)) for number in range(100)])
    assert 1 == run.main(["--at-most", "40"])
    assert ["0", "2", "5", "7", "10"] == [mutant.name for mutant in tried[:5]]
    assert 40 == len({mutant.name for mutant in tried})
    told = capsys.readouterr().out
    assert "60 of them are left out; for all: .venv/bin/python tests/mutants/run.py\n" in told
    assert "39 of 40 faults were noticed" in told


def test_a_name_that_is_none_is_an_error() -> None:
    with pytest.raises(SystemExit, match="2"):
        run.main(["no such fault"])
