"""The contract of the passes: breaking it is an internal error that names the pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import pytest
from nets import batch_norm, convolution, layer, model, scale, text

from caffe_fuse import passes
from caffe_fuse.errors import InternalError
from caffe_fuse.passes.rewrite import Pass, Progress
from caffe_fuse.schema.messages import copy_of

NET = text(convolution(), batch_norm(), scale(), layer("r", "ReLU", "s", "r"))


def without(place: int) -> Callable[[Progress], Progress]:
    def apply(progress: Progress) -> Progress:
        layers = [each for number, each in enumerate(progress.net.layers) if number != place]
        return replace(progress, net=progress.net.with_layers(layers))

    return apply


def renaming(progress: Progress) -> Progress:
    first, *others = progress.net.layers
    parameter = copy_of(first.parameter)
    parameter.name = "other"
    return replace(progress, net=progress.net.with_layers([first.rewritten(parameter, first.blobs), *others]))


@pytest.mark.parametrize(
    ("apply", "problem"),
    [
        (without(0), "layer b reads blob c, which no layer before it produces"),
        (without(3), "the outputs of the net changed: r, s"),
        (renaming, "layer other was renamed"),
    ],
    ids=["a bottom that nothing makes", "an output that is gone", "a name that changed"],
)
def test_a_pass_that_breaks_the_contract_is_named(
    apply: Callable[[Progress], Progress], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "PIPELINE", (Pass("a new one", apply),))
    with pytest.raises(InternalError, match="pass a new one: ") as caught:
        passes.run(model(NET, None).net)
    assert problem in str(caught.value)


def test_rules_say_what_they_do_in_the_words_of_reports() -> None:
    rules = (passes.FOLD, passes.MERGE)
    assert [("fold", "folded"), ("merge", "converted")] == [(rule.name, rule.verb) for rule in rules]
    (rewrite,) = passes.run(model(NET, None).net).rewrites
    assert ("c", ["b", "s"]) == (rewrite.target.name, [each.name for each in rewrite.absorbed])
    told = [rewrite.rule.fate(rewrite, each) for each in rewrite.before]
    assert ["absorbs b, s", "folds into c", "folds into c"] == told
