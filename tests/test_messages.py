"""The page of messages has every message that the package can print, and the page of options every option."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from conftest import PROJECT

from caffe_fuse.cli import process as cli
from caffe_fuse.cli.parsers import COMMANDS, parser_of

sys.path.insert(0, str(PROJECT / "docs" / "made"))

import messages
import options
import templates

# What only passes on a text that was made elsewhere, or by argparse.
PASSED_ON = {"MISSING", "MESSAGE", "WARNING", "PLACED", "REASON", "WHAT", "KIND", "PROBLEMS", "LAYER: REASON"}
PLACEHOLDER = r"(?<![a-z])[A-Z][A-Z_0-9]*(?![a-z])|\.\.\."
NET = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }\n'
KNOWN = {
    "there is no such file": "",
    "is a web page": "get the file itself",
    "the field here holds a varint that is cut off": "the file is damaged, or is not a protobuf message",
    "N BatchNorm layers remain: NAMES": "accept it as it is: caffe-fuse fuse NET WEIGHTS --allow-bn",
    "batch statistics: use_global_stats is false, so it depends on the batch": "give the deploy net, or use the "
    "stored statistics: caffe-fuse fuse NET WEIGHTS --use-global-stats",
    "cannot write: REASON": "nothing was changed; make room, or write to another folder",
    "the HTML report needs jinja2": "pip install 'caffe-fuse[report]'",
}
FAILS: List[Tuple[str, str]] = [
    ("layer {", "show NET"),
    ("", "show NET"),
    ('layer { type: 5 name: "a" }', "show NET"),
    ('layer { name: "c" type: "ReLU" bottom: "y" top: "c" }', "show NET"),
    (NET + 'layer { name: "s" bottom: "x" top: "s" }', "show NET"),
    (NET, "show NET --bn-dialect nobody"),
    (NET, "show NET --input-shape x=1,a"),
    (NET, "fuse NET NET"),
    (NET, "show NONE"),
    (NET, "targets tensorflow"),
]


@pytest.fixture(scope="module")
def made() -> List[messages.Message]:
    return messages.messages()


def test_none_is_lost(made: List[messages.Message]) -> None:
    texts = {message.text for message in made}
    lost = set()
    for site in messages.sites():
        if not {message.text for message in messages.messages_of(site)} & texts:
            lost.update(templates.texts(site.text, templates.Scope(site.module)))
    assert set() == lost - PASSED_ON


def test_each_raised_error_is_a_site() -> None:
    """Counts the errors in another way: what is raised under one of these names."""
    names = {"InputError", "TextError", "SystemFailure", "UnsafeResult", "InternalError", "TypeError", "ValueError"}
    raised = [
        (path.relative_to(PROJECT).as_posix(), node.exc.lineno)
        for path in (PROJECT / "caffe_fuse").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and getattr(node.exc.func, "id", "") in names
    ]
    assert len(raised) > 200
    assert set() == set(raised) - {site.place for site in messages.sites()}


@pytest.mark.parametrize("text", KNOWN)
def test_a_known_message_has_its_remedy(made: List[messages.Message], text: str) -> None:
    assert KNOWN[text] in {message.remedy for message in made if message.text == text}


@pytest.mark.parametrize(("net", "words"), FAILS, ids=[f"{words} {net[:20]}" for net, words in FAILS])
def test_what_is_printed_is_on_the_page(
    made: List[messages.Message], net: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "NET").write_text(net)
    assert 2 == cli.main([str(tmp_path / word) if word.isupper() else word for word in words.split()])
    first = capsys.readouterr().err.splitlines()[0]
    fitting: Dict[str, str] = {}
    for message in made:
        pattern = re.sub(PLACEHOLDER, ".*", re.escape(message.text).replace(r"\.\.\.", "..."))
        if re.search(rf": {pattern}(; |$)", first):
            fitting[message.text] = message.remedy
    assert fitting, first


def test_the_page_lists_each_of_them(made: List[messages.Message]) -> None:
    page = messages.lists()
    assert [] == [message.text for message in made if message.text not in page]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_its_table(command: str) -> None:
    page = options.tables().split(f"## caffe-fuse {command}\n")[1].split("\n## ")[0]
    actions = [action for action in parser_of(command)._actions if action.help != argparse.SUPPRESS]
    for action in actions:
        for spelling in action.option_strings:
            assert re.search(rf"`{spelling}[ `]", page), spelling
