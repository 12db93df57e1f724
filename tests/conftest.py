"""Profiles, paths and fixtures for all tests."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Tuple

import pytest
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before NumPy is imported. The workers share the cores: threads of BLAS that wait for each other take half of them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

TESTS = Path(__file__).resolve().parent
PROJECT = TESTS.parent
SHARED = PROJECT.parent / "shared"

settings.register_profile(
    "unit",
    max_examples=60,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fuzzing", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile("unit")
# Calls the command with these arguments; returns its status, and what it prints to stdout and stderr.
Run = Callable[..., Tuple[int, str, str]]
# Coverage is not traced in these: they would take a quarter of the suite more, for lines that others run.
UNTRACED = {
    *("test_definitions.py", "test_fold_properties.py", "test_formats.py", "test_forward_models.py"),
    *("test_real_models.py", "test_reference.py", "test_schema.py", "test_verify_mutants.py"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-definition", action="store_true", help="also large nets of which a smaller twin runs")
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew; review the difference")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes seconds, or the network once")


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    for item in items:
        if item.path.name in UNTRACED:
            item.add_marker("no_cover")


def pytest_report_header() -> str:
    return f"seed of today's random nets: {todays_seed()}"


def todays_seed() -> int:
    """Returns the date as a seed: 20260131 on 31 January 2026."""
    return int(date.today().strftime("%Y%m%d"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Returns the folder of recorded results and real models, which only the authors' machines have."""
    if not SHARED.is_dir():
        pytest.skip("the folder of real models is not on this machine")
    return SHARED


@pytest.fixture(autouse=True, scope="session")
def every_json_report_is_as_its_schema_says() -> Iterator[None]:
    """Every report that a test makes in this process, of one model or of many, is compared with schema.json."""
    from json_schema import require_valid

    from caffe_fuse.many.records import Records
    from caffe_fuse.report import json_report

    dumped, complete = json_report._dumped, Records.complete

    def checked(content: Mapping[str, Any]) -> str:
        text = dumped(content)
        require_valid(text)
        return text

    def checked_complete(records: Records, *arguments: Any) -> None:
        complete(records, *arguments)
        require_valid(Path(records._path).read_text(encoding="utf-8"))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_report, "_dumped", checked)
        patched.setattr(Records, "complete", checked_complete)
        yield


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    from caffe_fuse.cli import main

    def call(*arguments: object) -> Tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
