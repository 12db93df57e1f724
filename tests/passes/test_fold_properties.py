"""Properties of the fold of any net."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Tuple, Union

from hypothesis import given
from hypothesis import strategies as st
from nets import Fused, caffemodel, fuse, model, numbers
from strategies_nets import INPUT, nets

from caffe_fuse import passes
from caffe_fuse.net.cost import cost_of
from caffe_fuse.net.graph import Net
from caffe_fuse.passes.backward import BACKWARD
from caffe_fuse.passes.rewrite import Pass
from caffe_fuse.protobuf.wire import Source
from caffe_fuse.weights import read_weights

SEEDS = st.integers(0, 1000)
FOLDS = st.sampled_from(passes.FOLDS)


def folded(prototxt: bytes, seed: int, folds: str = "direct", simplify: bool = False) -> Fused:
    return fuse(prototxt, numbers(prototxt, seed), folds=folds, simplify=simplify)


@given(nets(), SEEDS, FOLDS, st.booleans())
def test_every_blob_that_survives_keeps_its_value(prototxt: bytes, seed: int, folds: str, simplify: bool) -> None:
    compared = folded(prototxt, seed, folds, simplify).compared(INPUT)
    assert () == compared.violations
    assert () == compared.unknown


@given(nets(), SEEDS, FOLDS)
def test_no_batch_norm_is_left(prototxt: bytes, seed: int, folds: str) -> None:
    assert b"BatchNorm" not in folded(prototxt, seed, folds).prototxt


@given(nets(), SEEDS, FOLDS, st.booleans())
def test_a_second_fold_changes_nothing(prototxt: bytes, seed: int, folds: str, simplify: bool) -> None:
    once = folded(prototxt, seed, folds, simplify)
    twice = fuse(once.prototxt, weights=once.weights, folds=folds, simplify=simplify)
    assert () == twice.result.facts.progress.rewrites
    assert twice.before == (twice.prototxt, twice.weights)


@given(nets(), SEEDS, FOLDS, st.booleans())
def test_blobs_vanish_only_as_the_report_says(prototxt: bytes, seed: int, folds: str, simplify: bool) -> None:
    fused = folded(prototxt, seed, folds, simplify)
    assert sorted(fused.compared(INPUT).vanished) == sorted(fused.result.report.vanished_blobs)


@given(nets(), SEEDS)
def test_layers_that_were_refused_or_not_looked_at_stay_byte_for_byte(prototxt: bytes, seed: int) -> None:
    fused = folded(prototxt, seed)
    rewritten = {each.name for rewrite in fused.result.facts.progress.rewrites for each in rewrite.before}
    before, after = (spelled(*pair) for pair in (fused.before, (fused.prototxt, fused.weights)))
    assert not rewritten & set(fused.refused)
    assert set(fused.refused) <= set(before) - rewritten
    for name in set(before) - rewritten:
        assert before[name] == after[name]


def spelled(prototxt: bytes, weights: bytes) -> Dict[str, Tuple[bytes, bytes]]:
    """Returns each layer's line of text and the bytes of its record."""
    lines = {re.findall(rb'name: "(\w+)"', line)[0].decode(): line for line in prototxt.splitlines()[2:]}
    records = {each.name: weights[slice(*each.span)] for each in read_weights(Source(weights, "w")).layers}
    return {name: (line, records[name]) for name, line in lines.items()}


@given(nets(affines=False), SEEDS)
def test_a_net_without_affine_layers_comes_out_byte_for_byte(prototxt: bytes, seed: int) -> None:
    fused = folded(prototxt, seed)
    assert fused.before == (fused.prototxt, fused.weights)


@given(nets(), SEEDS)
def test_the_names_of_layers_do_not_matter(prototxt: bytes, seed: int) -> None:
    blobs = numbers(prototxt, seed)
    plain = fuse(prototxt, blobs, folds="direct")  # all: blobs that change get their names from layers
    other = fuse(renamed(prototxt), {renamed_layer(name): arrays for name, arrays in blobs.items()}, folds="direct")
    assert renamed(plain.prototxt) == other.prototxt
    lists = {renamed_layer(name): [array.tolist() for array in arrays] for name, arrays in plain.arrays.items()}
    assert lists == {name: [array.tolist() for array in arrays] for name, arrays in other.arrays.items()}


def renamed(prototxt: bytes) -> bytes:
    """Returns the same net with its layers named in reverse alphabetical order."""
    return re.sub(rb'layer { name: "l(\d+)"', lambda match: b'layer { name: "n%d"' % (99 - int(match[1])), prototxt)


def renamed_layer(name: str) -> str:
    return f"n{99 - int(name[1:])}"


@given(nets())
def test_a_version_counts_the_writes_that_stand_before(prototxt: bytes) -> None:
    net = model(prototxt, None).net
    for place, each in enumerate(net.layers):
        before = ["x", *(top for earlier in net.layers[:place] for top in earlier.tops)]
        assert [(name, before.count(name) - 1) for name in each.bottoms] == list(net.bottoms(each))
        assert [(name, before.count(name)) for name in each.tops] == list(net.tops(each))


@given(nets())
def test_readers_and_producers_are_those_of_the_bottoms_and_tops(prototxt: bytes) -> None:
    net = model(prototxt, None).net
    for each in net.layers:
        for value in net.tops(each):
            readers: List[str] = [
                other.name for other in net.layers for bottom in net.bottoms(other) if bottom == value
            ]
            assert readers == [reader.name for reader in net.consumers(value)]
            assert net.producer(value) is each


@given(nets(), SEEDS, FOLDS, st.booleans())
def test_the_prototxt_and_the_weights_are_of_one_net(prototxt: bytes, seed: int, folds: str, simplify: bool) -> None:
    """Read alone, the caffemodel has the layers, types, bottoms and tops that the prototxt has."""
    fused = folded(prototxt, seed, folds, simplify)
    stored = [
        (each.name, each.type, each.bottoms, each.tops) for each in read_weights(Source(fused.weights, "w")).layers
    ]
    layers = model(fused.prototxt, fused.weights).net.layers
    assert stored == [(each.name, each.type, each.bottoms, each.tops) for each in layers]


@given(nets(), SEEDS)
def test_the_input_is_not_changed(prototxt: bytes, seed: int) -> None:
    content = caffemodel(prototxt, numbers(prototxt, seed))
    source = model(prototxt, content)
    blobs = [blob.array().tolist() for each in source.net.layers for blob in each.blobs]
    fused = fuse(prototxt, weights=content).result.model.source
    assert blobs == [blob.array().tolist() for each in fused.layers for blob in each.blobs]


# FORWARD needs FOLD before it, and MERGE takes what they leave.
ORDERS = {
    "fold first": (passes.FOLD, BACKWARD, passes.FOLD, passes.FORWARD, passes.MERGE),
    "forward before backward": (passes.FOLD, passes.FORWARD, BACKWARD, passes.FOLD, passes.FORWARD, passes.MERGE),
    "forward again": (BACKWARD, passes.FOLD, passes.FORWARD, passes.MERGE, passes.FORWARD, passes.MERGE),
}


@given(nets(), SEEDS, st.sampled_from(sorted(ORDERS)))
def test_rules_in_another_order_leave_as_many_layers(prototxt: bytes, seed: int, order: str) -> None:
    """But for identities, which need not be touched, and the biases that only one of two ways adds."""
    net = model(prototxt, caffemodel(prototxt, numbers(prototxt, seed))).net
    usual, other = (
        applied(net, steps) for steps in ((BACKWARD, passes.FOLD, passes.FORWARD, passes.MERGE), ORDERS[order])
    )
    assert work(usual) == work(other)


def applied(net: Net, steps: Sequence[Union[Pass, passes.Rule]]) -> Net:
    progress = passes.Progress(net, frozenset(net.blob_names))
    for step in steps:
        progress = step.apply(progress)
    return progress.net


def work(net: Net) -> Tuple[Dict[str, int], Optional[int]]:
    """Returns the count of layers by type, and the multiply-adds."""
    layers = [layer for layer in net.layers if not layer.is_identity]
    cost = cost_of(net, [layer.index for layer in layers])
    return dict(cost.layers), cost.multiply_adds
