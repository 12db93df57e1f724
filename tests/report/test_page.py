"""The HTML report: read as a browser would, and in Chromium where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import List, Optional, Tuple

import nets
import numpy as np
import pytest
from nets import batch_norm, convolution, scale, text

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.report import page

HOSTILE = "<script>alert(1)</script> & $x_2$"
VOID = {"meta", "link", "br", "use", "path", "img", "hr", "input"}


class Reader(HTMLParser):
    """Collects elements, their attributes and the text between; rejects elements that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: List[Tuple[str, dict]] = []
        self.words: List[str] = []
        self._open: List[str] = []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert tag == self._open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


@pytest.fixture
def files(tmp_path: Path) -> Tuple[Path, Path]:
    """Returns a net whose BatchNorm overflows half precision, with one more layer that cannot be repaired."""
    prototxt = text(
        convolution(HOSTILE, "x", "c"),
        batch_norm("b", "c", "b"),
        scale("s", "b", "s"),
        batch_norm("left", "s", "left", "batch_norm_param { use_global_stats: false }"),
    )
    blobs = nets.numbers(prototxt)
    blobs["b"] = [blobs["b"][0], np.full(6, 1e6, np.float32), np.ones(1, np.float32)]
    paths = (tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    paths[0].write_bytes(prototxt)
    paths[1].write_bytes(nets.caffemodel(prototxt, blobs))
    return paths


@pytest.fixture
def html(files: Tuple[Path, Path], tmp_path: Path) -> str:
    path = tmp_path / "report.html"
    command = ["fuse", *map(str, files), "-o", str(tmp_path / "out"), "--allow-bn", "--html", str(path), "-q"]
    assert 0 == cli.main(command)
    return path.read_text()


def test_the_verdict_comes_first_and_the_facts_follow(html: str) -> None:
    found = read(html)
    assert found.text.index("Safe: every value rounds to an fp16 value near it") < found.text.index(
        "1 layer absorbed 2 more"
    )
    assert "6 → 0 values overflow, are NaN or infinite" in found.text
    assert "batch statistics" in found.text
    assert 3 == [tag for tag, _ in found.elements].count("svg")


def test_a_name_that_is_markup_is_text(html: str) -> None:
    found = read(html)
    assert HOSTILE in found.text
    assert [] == [tag for tag, _ in found.elements if tag == "script"]


def test_the_page_needs_nothing_else(html: str) -> None:
    for _, attributes in read(html).elements:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert None is re.search(r"url\((?!#)|@import", html)


def test_an_id_stands_once(html: str) -> None:
    ids = [attributes["id"] for _, attributes in read(html).elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_what_a_chart_draws_has_a_colour_of_the_page(html: str) -> None:
    style = html[html.index("<style>") : html.index("</style>")]
    elements = read(html).elements
    drawn = {(tag, attributes["class"].split()[0]) for tag, attributes in elements if tag in ("rect", "path")}
    expected = {*(("rect", name) for name in ("lost", "subnormal", "normal", "overflow")), ("path", "before")}
    assert {*expected, ("path", "after")} == drawn
    for tag, name in drawn:
        assert re.search(rf"^{tag}\.{name},", style, re.MULTILINE)


def test_the_same_fold_gives_the_same_page(files: Tuple[Path, Path]) -> None:
    result = caffe_fuse.fuse(caffe_fuse.load(*files))
    assert page.to_html(result.report, []) == page.to_html(result.report, [])


def test_an_unsafe_fold_says_so_and_names_no_output(files: Tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    command = ["fuse", *map(str, files), "-o", str(tmp_path / "out"), "--strict", "--html", str(path), "-q"]
    assert 1 == cli.main(command)
    found = read(path.read_text())
    assert "NOT BN-free: 1 BatchNorm layer remains" in found.text
    assert "--allow-bn" in found.text
    assert "out.caffemodel" not in found.text


def test_one_file_cannot_be_both_reports(files: Tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == cli.main(["fuse", *map(str, files), "--report", "r", "--html", "r"])
    assert "--report and --html both name r" in capsys.readouterr().err


def test_without_the_extra_the_message_names_it(
    files: Tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    assert 2 == cli.main(["fuse", *map(str, files), "-o", str(tmp_path / "out"), "--html", str(tmp_path / "r.html")])
    assert "pip install 'caffe-fuse[report]'" in capsys.readouterr().err
    assert ["net.caffemodel", "net.prototxt"] == sorted(path.name for path in tmp_path.iterdir())


def test_what_was_out_of_range_has_its_cause(html: str) -> None:
    assert re.search(r"b 1 \d overflow 1e\+06 -4 -inf [\d.e-]+ b 1e\+06", read(html).text)


def test_the_classes_in_half_stand_beside_those_in_float32() -> None:
    inner = nets.layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 3 bias_term: false }")
    prototxt = text(inner, shape=(1, 2))
    weights = np.array([[1, 0], [3, 0], [2.0009, 0]], np.float32)
    result = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, {"i": [weights]})))
    html = page.to_html(result.verified({"x": np.ones((1, 2), np.float32)}).report, [])
    assert "1: 3, 2: 2, 0: 1" in read(html).text
    assert "1: 3, 2: 2.001, 0: 1" in read(html).text


def test_what_a_target_does_not_take_and_what_was_changed_for_it() -> None:
    layers = [convolution(settings="bias_term: true"), nets.layer("u", "Upsample", "c", "u")]
    fused = nets.fuse(text(*layers, nets.layer("m", "Hearsay", "u", "m")), target="mnn", half_policy=None)
    found = read(page.to_html(fused.result.report, ())).text
    assert "For MNN" in found
    assert "m Hearsay net.prototxt:5:1 has the type Hearsay, which the tool does not know refuses" in found
    assert "1 change layer type demand what changed u Upsample upsample as a Deconvolution with 6 groups" in found
    plain = nets.fuse(text(layers[0]), target="mnn", half_policy=None)
    assert "Nothing is known that the tool would not take." in read(page.to_html(plain.result.report, ())).text


def test_a_dead_channel_is_told_from_a_lost_one(tmp_path: Path) -> None:
    prototxt = text(convolution(HOSTILE, "x", "c"), batch_norm("b", "c", "b"), scale("s", "b", "s"))
    blobs = nets.numbers(prototxt)
    for number, value in ((2, 0.0), (4, 1e-9)):
        blobs["s"][0][number] = blobs["s"][1][number] = value
    result = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, blobs)))
    found = read(page.to_html(result.report, []))
    assert "Channel by channel" in found.text
    assert f"{HOSTILE} 0 4 lost" in found.text
    assert re.search(r"0 2 dead 0 inf inf 0 b", found.text)
    assert "dead in any precision: 1" in found.text


def chromium(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={folder / 'profile'}", *options, (folder / "report.html").as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_chromium_shows_it_without_an_error(html: str, tmp_path: Path) -> None:
    done = chromium(tmp_path, f"--screenshot={tmp_path / 'page.png'}")
    assert [] == [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert 5000 < (tmp_path / "page.png").stat().st_size


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_chromium_takes_a_name_that_is_markup_for_text(html: str, tmp_path: Path) -> None:
    done = chromium(tmp_path, "--dump-dom")
    assert [] == [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    found = read(done.stdout)
    assert HOSTILE in found.text
    assert "script" not in [tag for tag, _ in found.elements]
