"""What a prompt and a notebook show of the objects that the library returns."""

from __future__ import annotations

import html
import re
from typing import Any, Dict

import pytest
import truth
from conftest import TESTS

import caffe_fuse
from caffe_fuse.display import LONGEST, MOST_ROWS, Display

NETS = ("net-resnet-bottleneck", "keep-batch-stats", "half-weights-last-layer", "half-variance-overflow")


def loaded(name: str) -> caffe_fuse.Model:
    return caffe_fuse.load(truth.FOLDER / name / "net.prototxt", truth.FOLDER / name / "net.caffemodel")


def objects(name: str) -> Dict[str, Any]:
    model = loaded(name)
    unread = caffe_fuse.fuse(model)
    before = repr(unread)
    verified = unread.verified()
    return {
        "model": model,
        "report": unread.report,
        "result": unread,
        "half": caffe_fuse.check_half(model),
        "activations": caffe_fuse.predict(model, half_sums=True),
        "verified": verified.report,
        "verification": verified.verification,
        "unread": before,
    }


@pytest.mark.parametrize("name", NETS)
def test_the_texts(name: str, request: pytest.FixtureRequest) -> None:
    found = objects(name)
    texts = [found["unread"], *(repr(found[key]) for key in ("model", "report", "half", "activations"))]
    text = "\n".join(texts).replace(f"{truth.FOLDER}/", "") + "\n"
    golden = TESTS / "golden" / f"{name}.repr.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert golden.read_text() == text


@pytest.mark.parametrize("name", NETS)
def test_each_has_one_to_twenty_lines_and_a_notebook_shows_the_same(name: str) -> None:
    for thing in objects(name).values():
        lines = str(thing).splitlines()
        assert 1 <= len(lines) <= 20
        if not isinstance(thing, str):
            table = re.sub(r"<[^>]+>", " ", thing._repr_html_())
            assert re.findall(r"\S+", repr(thing)) == re.findall(r"\S+", html.unescape(table))


def test_a_verification_tells_the_snr_and_what_differs() -> None:
    verification = objects("net-resnet-bottleneck")["verification"]
    assert repr(verification).startswith("Verification: the same net: what differs is rounding\n")
    assert re.search(r"\n  second in half +\S+: SNR \d+\.\d dB", repr(verification))
    report = repr(objects("net-resnet-bottleneck")["verified"])
    assert re.search(r"\n  verified +the same net.*\n  answer before +\S+: SNR .*\n  answer after +\S+: SNR ", report)


def test_a_verification_of_other_nets_names_the_first_difference() -> None:
    first = loaded("half-weights-last-layer")
    result = caffe_fuse.fuse(first)
    assert result.report.rescaled
    verification = caffe_fuse.verify(first, result.model)  # without the exponents of the repair
    assert repr(verification).startswith("Verification: the nets DIFFER\n")
    assert re.search(r"\n  differs first +blob \S+ of layer ", repr(verification))


def test_a_result_shows_its_verdict_when_it_is_known_and_reads_no_weights_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = caffe_fuse.fuse(loaded("half-variance-overflow"))
    with monkeypatch.context() as patched:
        patched.setattr(type(result.facts), "final", property(lambda facts: pytest.fail("the weights were read")))
        assert "not known yet" in repr(result)
    assert result.safe
    assert repr(result).startswith("Result: safe: ")


def test_a_display_is_short_and_escapes_names() -> None:
    many = Display("many", [("", f"row {number}") for number in range(50)])
    assert 1 + MOST_ROWS == len(many.text.splitlines()) == 1 + many.html.count("<tr>")
    assert many.text.endswith("... and 32 more")
    long = Display("long" * 1000, [("a", "x" * 1000)])
    assert [LONGEST, LONGEST + 5] == [len(line) for line in long.text.splitlines()]
    odd = Display("<b>\x1b[2J", [("<i>", "a\nb & \x07")])
    assert "\x1b" not in odd.text
    assert 2 == len(odd.text.splitlines())
    assert "<i>" not in odd.html
    assert "&lt;b&gt;" in odd.html
    assert "b &amp; " in odd.html
