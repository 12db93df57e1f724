"""The stages of a fold, in their order: passes, half analysis, writing, proof. What comes in and out is a Model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Collection, Optional, Sequence, Union

from . import columns, passes, verdict
from .activations import assume, predict
from .diagnosis import Diagnosis, analyse_net, causes
from .dialects import decide, with_stored_statistics
from .emit import dropped_layers
from .errors import InputError
from .half import HalfReport
from .measures import Measures
from .model import Model
from .names import listed
from .prediction import SIGMAS
from .report import Checked
from .rescale import MODES
from .rescale import rescale as repaired
from .result import Result
from .rounding import HalfPolicy
from .targets import policy_of
from .weights import FORMATS

if TYPE_CHECKING:
    from .calibration import Calibration

STRICT = ("bn", "refused", "flush")
BLOB_TYPES = ("float32", "float16")


def fuse(
    model: Model,
    *,
    keep: Collection[str] = (),
    half_policy: Union[str, HalfPolicy] = "ieee",
    strict: Collection[str] = (),
    prune: bool = False,
    weights_format: Optional[str] = None,
    blob_type: str = "float32",
    bn_dialect: Optional[str] = None,
    rescale: str = "needed",
    keep_blobs: Collection[str] = (),
    sigmas: float = SIGMAS,
    ranges: Optional[Calibration] = None,
    half_sums: bool = False,
    allow_bn: bool = False,
    use_global_stats: bool = False,
) -> Result:
    """Folds what can be folded; changes nothing in `model` and writes nothing.

    keep: names of layers that stay exactly as they are. half_policy: a name, or a policy of one's own; "off" for no
    verdict on the half range. strict: what else makes the result unsafe: "refused" anything was refused, "flush" a
    number becomes zero or subnormal; "bn", a BatchNorm remains, always does unless `allow_bn`. use_global_stats:
    whether layers with batch statistics are read by what they have stored; where one remains the new net says so.
    prune: `save` leaves out weights of layers that the net does not have.
    weights_format: "caffemodel" or "hdf5"; None for that of the input. blob_type: "float16" stores all numbers of
    Convolution, Deconvolution and InnerProduct layers as halves; "float32" leaves what is not new in its type.
    bn_dialect: how BatchNorm's blobs are read, where the files do not tell; `load` takes it as well.
    rescale: whether powers of two move between layers: "needed" if half precision loses a number otherwise, "always" or
    "never"; without a verdict on the half range nothing is needed. keep_blobs: names of blobs that keep their values.
    sigmas: how many deviations from its mean the bottom of a BatchNorm is taken to go, to predict activations. ranges:
    what was recorded of this model, which goes before predictions. half_sums: whether to bound the sums of devices that
    add in halves; it reads all weights once more.
    Raises InputError for options that do not fit the model.
    """
    keep, strict, keep_blobs = listed(keep), listed(strict), listed(keep_blobs)
    policy = policy_of(half_policy)
    _check_options(model, keep, strict, policy)
    if allow_bn and "bn" in strict:
        raise InputError("strict bn and allow_bn contradict each other", remedy="leave one of them out")
    _check_choice("weights format", weights_format, (None, *(format.name for format in FORMATS)))
    _check_choice("blob type", blob_type, BLOB_TYPES)
    model = model if bn_dialect is None else _read_as(model, bn_dialect)
    model = replace(model, net=with_stored_statistics(model.net, keep)) if use_global_stats else model
    _check_rescale(model, rescale, keep_blobs)
    assumptions = assume(model.net, sigmas, ranges, half_sums)
    measures = Measures()
    columns.want(model.net.layers, measures)
    before = analyse_net(model.net, policy, measures)
    progress = passes.run(model.net, frozenset(keep), measures)
    dropped = dropped_layers(model.net, model.excluded, progress.rewrites)
    left = tuple(layer for layer in model.excluded if layer not in dropped)
    repair = None
    if rescale == "always" or (rescale == "needed" and policy.checked):
        repair = repaired(
            progress.net,
            left,
            needed=rescale == "needed",
            kept=frozenset(keep),
            keep_blobs=frozenset(keep_blobs),
            largest=assumptions.largest(progress.net, progress.rewrites),
            policy=policy,
            measures=measures,
        )
    net = progress.net if repair is None else repair.net
    fused = replace(model, net=net, excluded=left, dropped=model.dropped + dropped)
    assert model.weights is not None
    format = weights_format or model.weights.format
    return Result(
        fused,
        model.net,
        assumptions,
        progress,
        measures,
        before,
        policy,
        frozenset(strict),
        allow_bn,
        prune,
        format,
        blob_type,
        repair,
        rescale,
    )


def check_half(model: Model, *, half_policy: Union[str, HalfPolicy] = "ieee") -> HalfReport:
    """What half precision makes of each weight blob of the net."""
    policy = policy_of(half_policy)
    _check_options(model, (), (), policy)
    return analyse_net(model.net, policy, Measures())


def check(
    model: Model,
    *,
    half_policy: Union[str, HalfPolicy] = "ieee",
    sigmas: float = SIGMAS,
    ranges: Optional[Calibration] = None,
    half_sums: bool = False,
) -> Checked:
    """What the command `check` tells of a model; what a fold would do to its channels is told as their cause."""
    policy, measures = policy_of(half_policy), Measures()
    _check_options(model, (), (), policy)
    found = analyse_net(model.net, policy, measures)
    activations = predict(model, sigmas=sigmas, ranges=ranges, half_sums=half_sums)
    remedy = verdict.folding(model.net, found.policy)
    return Checked(
        inputs=model.paths,
        half=found,
        channels=Diagnosis(model.net, found, measures, causes(passes.run(model.net, measures=measures).rewrites)),
        activations=activations,
        warnings=model.warnings,
        problems=(
            *verdict.out_of_range(found, [remedy]),
            *verdict.seen_to_overflow(activations, found.policy, remedy),
        ),
    )


def _check_choice(what: str, chosen: Optional[str], known: Sequence[Optional[str]]) -> None:
    if chosen not in known:
        names = ", ".join(name for name in known if name)
        raise InputError(f"there is no {what} {chosen}", remedy=f"choose from {names}")


def _check_options(model: Model, keep: Collection[str], strict: Collection[str], policy: HalfPolicy) -> None:
    if model.weights is None:
        raise InputError("the model has no weights", where=model.document.path, remedy="give the .caffemodel as well")
    names = {layer.name for layer in model.net.layers}
    for name in keep:
        if name not in names:
            raise InputError(
                f"keep names {name}, which is no layer of the net",
                where=model.document.path,
                remedy="caffe-fuse show lists them",
            )
    for name in strict:
        if name not in STRICT:
            raise InputError(f"strict does not know {name}", remedy=f"choose from {', '.join(STRICT)}")
    if "flush" in strict and not policy.checked:
        raise InputError(
            "strict flush needs the half range, which this half policy leaves out", remedy="choose another"
        )


def _read_as(model: Model, bn_dialect: str) -> Model:
    said = decide(model.net).warnings
    decided = decide(model.net, bn_dialect)
    others = tuple(warning for warning in model.warnings if warning not in said)
    return replace(model, net=decided.net, warnings=others + decided.warnings)


def _check_rescale(model: Model, mode: str, keep_blobs: Collection[str]) -> None:
    if mode not in MODES:
        raise InputError(f"rescale cannot be {mode}", remedy=f"choose from {', '.join(MODES)}")
    for name in keep_blobs:
        if name not in model.net.blob_names:
            raise InputError(
                f"keep_blobs names {name}, which is no blob of the net",
                where=model.document.path,
                remedy="caffe-fuse show lists them",
            )
