"""A fold, as the API and the command line begin it: its options, checked, and the model as they read it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Collection, Optional, Union

from ..argument_types import FLAG, NAME, expect, names
from ..errors import InputError
from ..half.rounding import HalfPolicy
from ..half.targets import HalfPolicyName
from ..net.bn_dialect import BnDialect, decide, with_stored_statistics
from ..net.model import MODEL, Model
from ..passes import Folds
from ..ranges.expected import assume
from ..ranges.predict import SIGMAS
from .device import device
from .facts import Facts
from .options import BlobType, Rescale, Strict, WeightsFormat, options_for
from .result import Result

if TYPE_CHECKING:
    from ..ranges.calibrate import Calibration
    from ..targets import TargetName


def fuse(
    model: Model,
    *,
    keep: Collection[str] = (),
    half_policy: Union[HalfPolicyName, HalfPolicy, None] = None,
    target: Optional[TargetName] = None,
    strict: Union[Strict, Collection[Strict]] = (),
    prune: bool = False,
    weights_format: Optional[WeightsFormat] = None,
    blob_type: Optional[BlobType] = None,
    bn_dialect: Optional[BnDialect] = None,
    rescale: Rescale = "needed",
    keep_blobs: Collection[str] = (),
    sigmas: float = SIGMAS,
    ranges: Optional[Calibration] = None,
    half_sums: bool = False,
    allow_bn: bool = False,
    use_global_stats: bool = False,
    folds: Folds = "all",
    simplify: bool = False,
) -> Result:
    """Folds what can be folded; does not change `model` and writes nothing. Reads large weights when it needs them.

    keep: names of layers that stay exactly as they are. half_policy: a name, or a HalfPolicy; "off" for no verdict on
    the half range; "ieee" if there is none. target: the tool that takes the result, instead of a half policy: layers
    are changed so that it does, and the report says what it still does not take.
    strict: what else makes the result unsafe: "refused", a layer was refused; "flush", a value becomes
    zero or subnormal; "bn", a BatchNorm remains, which always does unless `allow_bn`. use_global_stats: whether layers
    with batch statistics use the stored ones; a layer that remains then has use_global_stats in the new net.
    folds: "direct" folds only into the layer before; "all" also carries scales and shifts through layers that let them
    pass, such as Concat, and into the layer after.
    simplify: whether layers that change nothing, and those that only a Silence reads, go.
    prune: `save` leaves out weights of layers that the net does not have.
    weights_format: "caffemodel" or "hdf5"; None for that of the input. blob_type: "float16" stores all blobs of
    Convolution, Deconvolution and InnerProduct layers as fp16, "float32" whatever is fp16 as float32; None keeps the
    type of blobs that are not new.
    bn_dialect: how BatchNorm's blobs are read if the files do not determine it; `load` takes it as well.
    rescale: whether powers of two move between layers: "needed" if half precision would lose a value otherwise,
    "always" or "never"; with half_policy "off" nothing is needed. keep_blobs: names of blobs that keep their values.
    sigmas: by how many deviations the bottom of a BatchNorm is assumed to differ from its mean, to predict activations.
    ranges: recorded ranges of this model, which take precedence over predictions. half_sums: whether to bound the sums
    of devices that accumulate in fp16; this reads all weights once more.
    Raises InputError for options that do not fit the model, and TypeError for one of a wrong type.
    """
    expect(MODEL, model=model)
    expect(FLAG, use_global_stats=use_global_stats)
    expect(NAME.or_none(), bn_dialect=bn_dialect)
    keep = names(keep=keep)
    named, policy = device(half_policy, target)
    options = options_for(
        model,
        keep=keep,
        policy=policy,
        target=named,
        strict=names(strict=strict),
        allow_bn=allow_bn,
        prune=prune,
        weights_format=weights_format,
        blob_type=blob_type,
        rescale=rescale,
        keep_blobs=names(keep_blobs=keep_blobs),
        folds=folds,
        simplify=simplify,
    )
    model = model if bn_dialect is None else _read_as(model, bn_dialect)
    model = _with_stored_statistics(model, keep, ranges) if use_global_stats else model
    return Result(Facts(model, options, assume(model.net, sigmas, ranges, half_sums)))


def _with_stored_statistics(model: Model, keep: Collection[str], ranges: Optional[Calibration]) -> Model:
    net = with_stored_statistics(model.net, keep)
    changed = (new.parameter is not old.parameter for new, old in zip(net.layers, model.net.layers))
    if ranges is not None and any(changed):
        raise InputError(
            "the ranges were recorded with batch statistics, but use_global_stats uses the stored ones",
            where=model.document.path,
            remedy="write use_global_stats: true into the net, and record them again",
        )
    return replace(model, net=net)


def _read_as(model: Model, bn_dialect: BnDialect) -> Model:
    earlier = decide(model.net).warnings
    decided = decide(model.net, bn_dialect)
    others = tuple(warning for warning in model.warnings if warning not in earlier)
    return replace(model, net=decided.net, warnings=others + decided.warnings)
