"""The HTML report: read as a browser would, and in Chromium where there is one."""

from __future__ import annotations

import base64
import hashlib
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
from caffe_fuse.page import pages

HOSTILE = "<script>alert(1)</script> & $x_2$"
VOID = {"meta", "link", "br", "use", "path", "line", "rect", "img", "hr", "input"}


class Reader(HTMLParser):
    """Collects elements, their attributes and the text between; rejects elements that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: List[Tuple[str, dict]] = []
        self.words: List[str] = []
        self.script: List[str] = []
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
        if self._open and self._open[-1] in ("script", "style"):
            self.script += [data] if self._open[-1] == "script" else []
        else:
            self.words.append(data)

    @property
    def ids(self) -> List[str]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

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


@pytest.fixture
def lossy() -> str:
    """Returns the page of a fold with a lost channel and a dead one."""
    prototxt = text(convolution(HOSTILE, "x", "c"), batch_norm("b", "c", "b"), scale("s", "b", "s"))
    blobs = nets.numbers(prototxt)
    for number, value in ((2, 0.0), (4, 1e-9)):
        blobs["s"][0][number] = blobs["s"][1][number] = value
    result = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, blobs)))
    return pages.to_html(result.report, [])


def test_the_verdict_and_what_a_stranger_asks_come_first(html: str) -> None:
    found = read(html).text
    asked = [
        "net Safe in half precision",
        "What was wrong? Of the",
        "6 are too large for half precision, which ends at 65504: most in b, up to 1e+06.",
        "What was done? 1 BatchNorm and 1 Scale layers were folded into 1 Convolution layers",
        "Is it right now? Every weight of the new net fits half precision. Its answers were not tried.",
        "What next? Use",
        "What the fold saves",
        "6 → 0 values overflow, are NaN or infinite",
        "The layers, those in trouble first",
        "batch statistics",
    ]
    places = [found.index(words) for words in asked]
    assert sorted(places) == places


def test_a_name_that_is_markup_is_text(html: str) -> None:
    found = read(html)
    assert HOSTILE in found.text
    assert 1 == [tag for tag, _ in found.elements].count("script")
    assert HOSTILE not in "".join(found.script)


def test_no_script_but_its_own_can_run_and_nothing_is_requested(html: str) -> None:
    found = read(html)
    (policy,) = [each["content"] for tag, each in found.elements if each.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256("".join(found.script).encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert [] == [name for _, each in found.elements for name in each if name.startswith("on")]


def test_the_page_needs_nothing_else(html: str) -> None:
    for _, attributes in read(html).elements:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    assert None is re.search(r"url\((?!#)|@import", html)


def test_an_id_stands_once_and_each_link_leads_to_one(lossy: str) -> None:
    found = read(lossy)
    assert len(set(found.ids)) == len(found.ids)
    links = [each["href"][1:] for tag, each in found.elements if tag == "a"]
    assert {"layer", "values", "channel"} == {link.split("-")[0] for link in links}
    assert set() == set(links) - set(found.ids)


def test_every_bar_of_a_layer_leads_to_the_row_of_its_name(html: str) -> None:
    bars = re.findall(r'<a class="bars" href="#(layer-\d+)"[^>]*><span>(.*?)</span>', html)
    assert 2 <= len(bars)
    for link, name in bars:
        assert f'<tr id="{link}"><td data-label="layer">{name}</td>' in html


def test_the_layers_in_trouble_come_first() -> None:
    prototxt = text(convolution("good", "x", "g"), convolution("bad", "g", "b"))
    blobs = nets.numbers(prototxt)
    blobs["bad"][0].flat[0] = 1e6
    fused = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, blobs)), rescale="never")
    html = pages.to_html(fused.report, [])
    assert ["bad", "good"] == re.findall(r'class="bars" href="[^"]*"[^>]*><span>(.*?)</span>', html)
    assert ["bad", "good"] == re.findall(r'<tr id="layer-\d+"><td data-label="layer">(.*?)</td>', html)


def test_what_a_chart_draws_has_a_colour_of_the_page(lossy: str) -> None:
    style = lossy[lossy.index("<style>") : lossy.index("</style>")]
    elements = read(lossy).elements
    shapes = ("rect", "path", "line")
    drawn = {(tag, each["class"].split()[0]) for tag, each in elements if tag in shapes and "class" in each}
    bands = {("rect", name) for name in ("lost", "subnormal", "normal", "overflow")}
    assert {*bands, *((tag, name) for tag in ("line", "path") for name in ("before", "after"))} <= drawn
    for tag, name in drawn:
        assert re.search(rf"{'' if tag == 'rect' else tag}\.{name}\b", style)
    for name in re.findall(r"var\(--([\w-]+)\)", lossy):
        assert name == "bands" or f"--{name}: #" in style


def test_the_same_fold_gives_the_same_page(files: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_now", lambda: "2026-01-01 00:00 UTC")
    result = caffe_fuse.fuse(caffe_fuse.load(*files))
    assert pages.to_html(result.report, []) == pages.to_html(result.report, [])


def test_an_unsafe_fold_says_so_and_names_no_output(files: Tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    command = ["fuse", *map(str, files), "-o", str(tmp_path / "out"), "--strict", "--html", str(path), "-q"]
    assert 1 == cli.main(command)
    found = read(path.read_text())
    assert "NOT BN-free: 1 BatchNorm layer remains" in found.text
    assert "Is it right now? No. 1 BatchNorm layer remains: left. What next?" in found.text
    assert "--allow-bn" in found.text
    assert "out.caffemodel" not in found.text


def test_what_has_one_reason_is_one_row(tmp_path: Path) -> None:
    kept = "batch_norm_param { use_global_stats: false }"
    layers = [batch_norm(f"b{place}", "x" if place == 0 else f"b{place - 1}", f"b{place}", kept) for place in range(9)]
    prototxt = text(*layers)
    fused = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt))))
    html = pages.to_html(fused.report, [])
    table = html[html.index("<h2>Not folded</h2>") :]
    assert 2 == table[: table.index("</table>")].count("<tr")
    assert "b0, b1, b2, b3, b4 and 4 more b5, b6, b7, b8 BatchNorm" in read(html).text


def test_reasons_that_differ_only_by_names_are_one_row() -> None:
    kept = "batch_norm_param { use_global_stats: false }"
    layers = [
        layer
        for n in range(3)
        for layer in (batch_norm(f"b{n}", f"s{n - 1}" if n else "x", f"b{n}", kept), scale(f"s{n}", f"b{n}", f"s{n}"))
    ]
    prototxt = text(*layers)
    fused = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt))))
    assert 6 == len(fused.report.refused)
    found = read(pages.to_html(fused.report, [])).text
    assert "s0, s1, s2 Scale it reads the output of BatchNorm ..., which cannot absorb it" in found


@pytest.mark.parametrize("command", ["fuse", "check", "verify"])
def test_one_file_cannot_be_both_reports(
    command: str, files: Tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [*map(str, files)] * (2 if command == "verify" else 1)
    assert 2 == cli.main([command, *paths, "--report", "r", "--html", "r"])
    assert "--report and --html both name r" in capsys.readouterr().err


def test_check_has_a_page(files: Tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert 1 == cli.main(["check", *map(str, files), "--html", str(path), "-q", "--report", str(tmp_path / "r.json")])
    found = read(path.read_text())
    assert (tmp_path / "r.json").exists()
    assert "net NOT safe in half precision" in found.text
    assert "What was looked at? Of the" in found.text
    assert "Can it run in half precision? No. 6 values in 1 blob are not finite in half precision" in found.text
    assert (
        "What next? Fold the BatchNorm layers, whose values half precision cannot hold: caffe-fuse fuse" in found.text
    )
    assert "6 values overflow, are NaN or infinite" in found.text
    assert re.search(r"b 1 \d overflow 1e\+06 -4 -inf", found.text)
    links = {each["href"][1:] for tag, each in found.elements if tag == "a"}
    assert set() < links <= set(found.ids)
    assert ("line", "before") not in {(tag, each.get("class")) for tag, each in found.elements}
    assert f"Made by caffe-fuse check {files[0]} {files[1]} --html {path}" in found.text


def test_verify_has_a_page(files: Tuple[Path, Path], tmp_path: Path) -> None:
    path, other = tmp_path / "report.html", tmp_path / "other"
    assert 0 == cli.main(["fuse", *map(str, files), "-o", str(other), "--allow-bn", "-q"])
    new = [f"{other}.prototxt", f"{other}.caffemodel"]
    assert 0 == cli.main(["verify", *map(str, files), *new, "--html", str(path), "-q"])
    found = read(path.read_text())
    assert "Is it the same net? Yes: what differs is no more than rounding changes in A itself." in found.text
    assert "element float32 half, A half, B" in found.text
    assert f"B: {', '.join(new)}." in found.text
    links = [each["href"][1:] for tag, each in found.elements if tag == "a"]
    assert {"blob-0"} <= set(links) <= set(found.ids)


def test_verify_says_where_nets_differ(files: Tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    prototxt = files[0].read_bytes()
    blobs = nets.numbers(prototxt)
    (tmp_path / "b.caffemodel").write_bytes(nets.caffemodel(prototxt, blobs))
    command = ["verify", *map(str, files), str(files[0]), str(tmp_path / "b.caffemodel")]
    assert 1 == cli.main([*command, "--precision", "float32", "--html", str(path), "-q"])
    found = read(path.read_text())
    assert "The nets DIFFER" in found.text
    assert "Is it the same net? No. They differ first in blob b of layer b" in found.text
    assert "Is it right in half precision? Not looked at (--precision float32)." in found.text
    assert re.search(r"class=\"bad-number n\">[\d,]+ %<", path.read_text())


def test_without_the_extra_the_message_names_it(
    files: Tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    assert 2 == cli.main(["fuse", *map(str, files), "-o", str(tmp_path / "out"), "--html", str(tmp_path / "r.html")])
    assert "pip install 'caffe-fuse[report]'" in capsys.readouterr().err
    assert ["net.caffemodel", "net.prototxt"] == sorted(path.name for path in tmp_path.iterdir())


def test_what_was_out_of_range_has_its_cause(html: str) -> None:
    assert re.search(r"b 1 \d overflow 1e\+06 -4 -inf [\d.e-]+ b 1e\+06", read(html).text)


def test_the_proof_follows_the_answers(files: Tuple[Path, Path]) -> None:
    result = caffe_fuse.fuse(caffe_fuse.load(*files), allow_bn=True).verified()
    found = read(pages.to_html(result.report, [])).text
    places = [found.index(words) for words in ("What next?", "The proof", "before the fold", "What the fold saves")]
    assert sorted(places) == places
    (answer,) = result.report.verification.after if result.report.verification else ()
    assert f"In half precision its output left is off by {answer.max_abs:.3g} ({answer.snr:.1f} dB)." in found
    assert f"folded: {answer.snr:.1f} dB" in pages.to_html(result.report, [])
    assert f"element float32 half, before the fold half, folded 0 {answer.float32_numbers[0]:.5g} " in found


def test_the_classes_in_half_stand_beside_those_in_float32() -> None:
    inner = nets.layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 3 bias_term: false }")
    prototxt = text(inner, shape=(1, 2))
    weights = np.array([[1, 0], [3, 0], [2.0009, 0]], np.float32)
    result = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, {"i": [weights]})))
    html = pages.to_html(result.verified({"x": np.ones((1, 2), np.float32)}).report, [])
    assert "class float32 half, before the fold half, folded 1 3 3 3 2 2.0009 2 2 0 1 1 1" in read(html).text


def test_an_output_that_half_precision_damages_is_not_called_right() -> None:
    """The output is the difference of two large numbers."""
    inner = nets.layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 1 bias_term: false }")
    prototxt = text(inner, shape=(1, 2))
    weights = np.array([[1000.2, -1000.1]], np.float32)
    result = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, {"i": [weights]})))
    report = result.verified({"x": np.ones((1, 2), np.float32)}).report
    assert not report.problems
    found = read(pages.to_html(report, [])).text
    assert "The weights fit half precision; the answers are rough there" in found
    assert "Is it right now? In float32, yes: both nets ran on the same inputs" in found
    assert "In half precision only roughly: its output i is off by" in found


def test_the_worst_of_several_outputs_comes_first() -> None:
    layers = [
        nets.layer(name, "InnerProduct", "x", name, "inner_product_param { num_output: 1 bias_term: false }")
        for name in ("fine", "rough")
    ]
    prototxt = text(*layers, shape=(1, 2))
    weights = {"fine": [np.array([[1.0, 2.0]], np.float32)], "rough": [np.array([[1000.2, -1000.1]], np.float32)]}
    result = caffe_fuse.fuse(nets.model(prototxt, nets.caffemodel(prototxt, weights)))
    found = read(pages.to_html(result.verified({"x": np.ones((1, 2), np.float32)}).report, [])).text
    assert found.index("Output rough") < found.index("Output fine")


def test_what_a_target_does_not_take_and_what_was_changed_for_it() -> None:
    layers = [convolution(settings="bias_term: true"), nets.layer("u", "Upsample", "c", "u")]
    fused = nets.fuse(text(*layers, nets.layer("m", "Hearsay", "u", "m")), target="mnn", half_policy=None)
    found = read(pages.to_html(fused.result.report, ())).text
    assert "For MNN" in found
    assert "m Hearsay has the type Hearsay, which the tool does not know refuses net.prototxt:5:1" in found
    assert "1 change layers type demand what changed u Upsample upsample as a Deconvolution with 6 groups" in found
    plain = nets.fuse(text(layers[0]), target="mnn", half_policy=None)
    assert "Nothing is known that the tool would not take." in read(pages.to_html(plain.result.report, ())).text


def test_a_dead_channel_is_told_from_a_lost_one(lossy: str) -> None:
    found = read(lossy)
    assert "Channel by channel" in found.text
    assert f"{HOSTILE} 0 4 lost" in found.text
    assert re.search(r"0 2 dead 0 inf inf 0 b", found.text)
    assert "1 dead channels: 0, or too small to matter in any precision" in found.text
    assert "0 channels overflow, 1 are lost" in found.text
    assert "But 1 channel keeps less than 40 dB" in found.text


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
    assert 1 == [tag for tag, _ in found.elements].count("script")
