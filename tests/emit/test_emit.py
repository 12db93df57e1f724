"""What a fold writes to the two files: the text edits, and the records of the caffemodel."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np
import pytest
from nets import (
    arrays_of,
    batch_norm,
    caffemodel,
    convolution,
    fuse,
    layer,
    model,
    numbers,
    records,
    scale,
    spread,
    text,
)
from reference.files import message_class

from caffe_fuse.emit.text import edits
from caffe_fuse.errors import InternalError
from caffe_fuse.protobuf.wire import Source
from caffe_fuse.schema.messages import copy_of
from caffe_fuse.weights import read_weights

HEAD = b'input: "x"\ninput_shape { dim: 2 dim: 4 dim: 5 dim: 6 }\n'


def rewritten(before: bytes) -> bytes:
    """Returns the new text of a net, whose weights are judged as well."""
    fused = fuse(HEAD + before)
    assert () == fused.violations()
    assert fused.prototxt.startswith(HEAD)
    return fused.prototxt[len(HEAD) :]


# The text


def test_a_v1_layer_cannot_become_one_of_another_type() -> None:
    net = model(HEAD + b'layers { name: "r" type: RELU bottom: "x" top: "r" }', None)
    (relu,) = net.net.layers
    parameter = copy_of(relu.parameter)
    parameter.type = "Scale"
    after = net.net.with_layers([relu.rewritten(parameter, ())])
    with pytest.raises(InternalError, match="layer r of the V1 form cannot become a Scale"):
        edits(net.document, net.net, after, ())


WIDE = b"""# first
layer {
    name: "c"  # a convolution
    type: "Convolution"
    bottom: "x"
    top: 'c'
    convolution_param {
        num_output: 6  # six
        kernel_size: 3
        bias_term: false  # the BatchNorm has one
    }
}
# between

layer {
    name: "b"
    type: "BatchNorm"
    bottom: "c"
    top: "b"
}
# last
layer { name: "r" type: "ReLU" bottom: "b" top: "r" }  # done
"""


def test_only_what_changes_is_edited() -> None:
    expected = WIDE.replace(b"bias_term: false", b"bias_term: true").replace(b"top: 'c'", b"top: 'b'")
    start, end = expected.index(b'layer {\n    name: "b"'), expected.index(b"# last")
    assert expected[:start] + expected[end:] == rewritten(WIDE)


@pytest.mark.parametrize(
    "respelled",
    [
        WIDE.replace(b"\n", b"\r\n"),
        WIDE.replace(b"    ", b"\t"),
        WIDE.replace(b" {", b"{").replace(b": ", b":"),
        WIDE.replace(b"{", b"<").replace(b"}", b">"),
        WIDE.replace(b'"\n', b'";\n').replace(b"3\n", b"3,\n"),
        WIDE.replace(b"# six", "# 六 \u00b0".encode("gbk", "replace")),
        WIDE.replace(b"type:", b"type :"),
        WIDE[:-1],
    ],
    ids=["CRLF", "tabs", "dense", "angles", "separators", "GBK", "blank before the colon", "no last newline"],
)
def test_the_spelling_of_the_file_stays(respelled: bytes) -> None:
    expected = respelled.replace(b"false", b"true").replace(b"'c'", b"'b'")
    start = expected.index(b"layer", expected.index(b"# between"))
    assert expected[:start] + expected[expected.index(b"# last") :] == rewritten(respelled)


def test_a_byte_order_mark_stays() -> None:
    content = fuse(b"\xef\xbb\xbf" + HEAD + WIDE).prototxt
    assert content.startswith(b"\xef\xbb\xbf" + HEAD)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["C", "B", "S"], ["C "]),
        (["C", "B", "S", "R"], ["C", "R"]),
        (["C", "B"], ["C"]),
        (["C", "B # comment"], ["C # comment"]),
        (["C # one\nB # two\nS", "R"], ["C # one\n# two\nR"]),
        (["C", "B\nS", "R\n"], ["C\nR\n"]),
        (["C\n  B", "S\n# end"], ["C\n  \n# end"]),
        (["C; B;", "S,", "R"], ["C; R"]),
    ],
)
def test_layers_that_share_a_line(before: Sequence[str], after: Sequence[str]) -> None:
    relu = layer("r", "ReLU", "s", "r")
    last = "s" if "S" in " ".join(before) else "b"

    def spelled(parts: Sequence[str], top: str) -> bytes:
        line = " ".join(parts)
        for mark, written in zip("CBSR", (convolution(top=top), batch_norm(), scale(), relu)):
            line = line.replace(mark, written, 1) if not written.startswith("layer") or mark in line else line
        return (line + "\n").encode()

    assert spelled(after, last) == rewritten(spelled(before, "c"))


NORM = b'layer {\n  name: "b"\n  type: "BatchNorm"\n  bottom: "x"\n  top: "b"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"}\n", b"  scale_param {\n    bias_term: true\n  }\n}\n"),
        (b"  batch_norm_param { eps: 0.5 }\n}\n", b"  scale_param {\n    bias_term: true\n  }\n}\n"),
        (
            b"  param { lr_mult: 0 }\n  param { lr_mult: 0 }\n  batch_norm_param {\n    eps: 0.5\n  }\n}\n",
            b"  scale_param {\n    bias_term: true\n  }\n}\n",
        ),
        (
            b"  batch_norm_param { eps: 0.5 } # stays\n  include { phase: TEST }\n}\n",
            b"  scale_param {\n    bias_term: true\n  } # stays\n  include { phase: TEST }\n}\n",
        ),
        (
            b"  batch_norm_param { eps: 0.5 }\n  param { lr_mult: 0 }\n}\n",
            b"  scale_param {\n    bias_term: true\n  }\n}\n",
        ),
    ],
    ids=["appended", "in its place", "params go", "comments stay", "params behind go"],
)
def test_a_converted_batch_norm_gets_a_scale_param(before: bytes, after: bytes) -> None:
    expected = (NORM + after).replace(b"BatchNorm", b"Scale")
    assert expected == rewritten(NORM + before)
    crlf = fuse((HEAD + NORM + before).replace(b"\n", b"\r\n")).prototxt
    assert (HEAD + expected).replace(b"\n", b"\r\n") == crlf


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_new_layer_has_lines_where_the_one_before_it_has(end: str) -> None:
    norm = NORM.decode() + "  batch_norm_param {\n    relu: true\n  }\n}"
    expected = [
        NORM.decode().replace("BatchNorm", "Scale") + "  scale_param {\n    bias_term: true\n  }\n}  # norm",
        'layer {\n  name: "b_relu"\n  type: "ReLU"\n  bottom: "b"\n  top: "b"\n}',
        "",
    ]
    prototxt = (HEAD.decode() + norm + "  # norm\n").replace("\n", end)
    assert (HEAD.decode() + "\n".join(expected)).replace("\n", end) == fuse(prototxt.encode()).prototxt.decode()


def test_names_are_escaped_as_the_text_wants_it() -> None:
    odd = "\\\"é\\\\n\\n'"
    relu = layer("r", "ReLU", odd, "r")
    fused = fuse(text(convolution(), batch_norm(top=odd), relu))
    assert [convolution(top=odd), relu] == fused.lines
    assert () == fused.violations()


@pytest.mark.parametrize("odd", [r"s\\xe9", r"\000\033[31m\177", r"\\x5c"], ids=["letters", "controls", "backslash"])
def test_a_name_that_would_be_another_one_unescaped_is_escaped(odd: str) -> None:
    relu = layer("r", "ReLU", odd, "r")
    fused = fuse(text(convolution(), batch_norm(top=odd), relu))
    assert relu == fused.lines[1]
    assert () == fused.violations()
    assert fused.lines[0].isprintable()


def test_a_name_that_is_not_utf8_stays_the_same_bytes() -> None:
    before = text(convolution(), batch_norm(top="NAME"), layer("r", "ReLU", "NAME", "r"))
    blobs = caffemodel(before, numbers(before))
    fused = fuse(before.replace(b"NAME", "卷积".encode("gbk")), weights=blobs)
    expected = text(convolution(top="\\xbe\\xed\\xbb\\xfd")).split(b"\n")[2]
    assert expected == fused.prototxt.split(b"\n")[2]


# The records


def record(content: bytes, name: str) -> Any:
    return records(content)[name]


def test_a_record_says_what_the_prototxt_says() -> None:
    fused = fuse(text(convolution(settings="bias_term: false"), batch_norm(), scale()))
    found = record(fused.weights, "c")
    assert ["c"] == list(records(fused.weights))
    assert ("Convolution", ["x"], ["s"], True) == (
        *(found.type, list(found.bottom), list(found.top)),
        found.convolution_param.bias_term,
    )
    assert [(6, 4, 3, 3), (6,)] == [tuple(blob.shape.dim) for blob in found.blobs]


def test_a_converted_record_is_a_scale_with_the_fields_of_every_layer() -> None:
    settings = "param { lr_mult: 0 } batch_norm_param { eps: 0.5 } include { phase: TEST }"
    fused = fuse(text(layer("f", "ReLU", "x", "f"), batch_norm(bottom="f", rest=settings), scale()))
    found = record(fused.weights, "b")
    assert ("Scale", ["f"], ["s"], True) == (
        *(found.type, list(found.bottom), list(found.top)),
        found.scale_param.bias_term,
    )
    assert ["name", "type", "bottom", "top", "blobs", "include", "scale_param"] == [
        field.name for field, _ in found.ListFields()
    ]


def with_records(prototxt: bytes, blobs: Dict[str, List[np.ndarray]], *more: Any) -> bytes:
    """Returns a weight file with these other records before the layers of the net."""
    net = message_class("NetParameter").FromString(caffemodel(prototxt, blobs))
    front = message_class("NetParameter")(layer=[message_class("LayerParameter")(**each) for each in more])
    return bytes(front.SerializeToString() + net.SerializeToString())


def test_splits_of_vanished_blobs_go_and_others_stay() -> None:
    prototxt = text(convolution(), batch_norm(), layer("r", "ReLU", "b", "r"), layer("q", "Sigmoid", "b", "q"))
    splits = [
        {"name": f"{blob}_split", "type": "Split", "bottom": [blob], "top": [f"{blob}_split_0", f"{blob}_split_1"]}
        for blob in "cbx"
    ]
    content = with_records(prototxt, numbers(prototxt), *splits)
    fused = fuse(prototxt, weights=content)
    assert ["b_split", "x_split", "c", "r", "q"] == list(records(fused.weights))


def test_a_reader_of_a_split_keeps_its_part_of_it() -> None:
    prototxt = text(
        layer("r", "ReLU", "x", "r"), scale("s", "r", "s"), batch_norm(bottom="s"), layer("q", "ReLU", "r", "q")
    )
    blobs = numbers(prototxt)
    net = message_class("NetParameter").FromString(caffemodel(prototxt, blobs))
    net.layer[1].bottom[0], net.layer[3].bottom[0] = "r_split_0", "r_split_1"
    fused = fuse(prototxt, weights=bytes(net.SerializeToString()))
    assert ["r_split_0"] == list(record(fused.weights, "b").bottom)


def test_records_of_layers_that_the_net_does_not_have_stay_unless_pruned() -> None:
    prototxt = text(convolution(), batch_norm(), layer("t", "ReLU", "b", "t", "include { phase: TRAIN }"))
    blobs = {**numbers(prototxt), "t": [], "old": [spread((3,), 1)]}
    assert ["c", "t", "old"] == list(records(fuse(prototxt, blobs).weights))
    assert ["c", "t"] == list(records(fuse(prototxt, blobs, prune=True).weights))


def test_the_record_of_a_dropped_layer_goes() -> None:
    prototxt = text(convolution(), layer("t", "ReLU", "c", "t", "include { phase: TRAIN }"), batch_norm())
    blobs = {**numbers(prototxt), "t": [spread((3,), 1)]}
    assert ["c"] == list(records(fuse(prototxt, blobs).weights))


def spans(content: bytes) -> Dict[str, bytes]:
    """Returns the bytes of each record."""
    found = read_weights(Source(content, "net.caffemodel")).layers
    return {each.name: content[slice(*each.span)] for each in found}


def test_untouched_records_stay_byte_for_byte() -> None:
    other = convolution("o", "x", "o")
    prototxt = text(other, layer("r", "ReLU", "o", "o"), convolution(bottom="o"), batch_norm())
    before = spans(caffemodel(prototxt, numbers(prototxt)))
    after = spans(fuse(prototxt).weights)
    assert ["o", "r", "c"] == list(after)
    assert (before["o"], before["r"]) == (after["o"], after["r"])


def test_of_two_records_of_a_changed_layer_one_is_left() -> None:
    prototxt = text(convolution(), batch_norm())
    blobs = numbers(prototxt)
    content = caffemodel(text(), {"c": [spread((6, 4, 3, 3), 5), spread((6,), 6)]}) + caffemodel(prototxt, blobs)
    fused = fuse(prototxt, weights=content)
    assert 1 == len(message_class("NetParameter").FromString(fused.weights).layer)
    assert () == fused.violations()


def test_numbers_that_lived_in_the_record_of_a_converted_layer_move_to_who_shares_them() -> None:
    """The last record held the shared weights; it is rewritten, so the record of the other layer has to hold them."""
    shared = 'param { name: "m" } param { name: "v" } param { name: "f" }'
    relu = layer("r", "ReLU", "x", "r")
    first = batch_norm("b", "x", "b", shared + " batch_norm_param { use_global_stats: false }")
    prototxt = text(relu, first, batch_norm("e", "r", "e", shared))
    blobs = numbers(prototxt)
    fused = fuse(prototxt, blobs)
    assert [relu, first, layer("e", "Scale", "r", "e", "scale_param { bias_term: true }")] == fused.lines
    assert [array.tolist() for array in blobs["e"]] == [array.tolist() for array in fused.arrays["b"]]
    assert () == fused.violations()


def test_a_layer_without_a_record_gets_one() -> None:
    blobs = numbers(text(convolution(), batch_norm()))
    inner = " ".join(
        f"blobs {{ shape {{ {' '.join(f'dim: {dim}' for dim in blob.shape)} }} data: {blob.ravel().tolist()} }}"
        for blob in blobs["c"]
    )
    fused = fuse(text(convolution(rest=inner), batch_norm()), {"b": blobs["b"]})
    assert [("c", "Convolution")] == [(each.name, each.type) for each in records(fused.weights).values()]
    assert [(6, 4, 3, 3), (6,)] == [array.shape for array in arrays_of(fused.weights)["c"]]
