"""The options of `fuse`, checked against the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Collection, FrozenSet, Iterable, Literal, Optional, Sequence, Tuple, get_args

from ..argument_types import FLAG, NAME, expect
from ..errors import InputError
from ..half.rounding import HalfPolicy
from ..net.model import Model
from ..passes import FOLDS
from ..spelling import did_you_mean
from ..weights import FORMATS

if TYPE_CHECKING:
    from ..targets import Target

Strict = Literal["bn", "refused", "flush"]
BlobType = Literal["float32", "float16"]
Rescale = Literal["needed", "always", "never"]
WeightsFormat = Literal["caffemodel", "hdf5"]
STRICT, BLOB_TYPES, RESCALE = get_args(Strict), get_args(BlobType), get_args(Rescale)


@dataclass(frozen=True)
class Options:
    """The options as documented in `fuse`; weights_format is never None here."""

    keep: FrozenSet[str]
    policy: HalfPolicy
    strict: FrozenSet[str]
    allow_bn: bool
    prune: bool
    weights_format: str
    blob_type: Optional[str]
    rescale: str
    keep_blobs: FrozenSet[str]
    folds: str
    simplify: bool
    target: Optional[Target]

    @property
    def repairs(self) -> Optional[str]:
        """When powers of two move: "always", if "needed", or never: None."""
        is_off = self.rescale == "never" or (self.rescale == "needed" and not self.policy.checked)
        return None if is_off else self.rescale

    @property
    def input_fields(self) -> bool:
        """Whether the new net has `input` fields, and no Input layers."""
        if self.target is None:
            return False
        from ..targets.inputs import INPUT_FIELDS

        return INPUT_FIELDS in self.target.demands


def options_for(
    model: Model,
    *,
    keep: Collection[str],
    policy: HalfPolicy,
    strict: Collection[str],
    allow_bn: bool,
    prune: bool,
    weights_format: Optional[str],
    blob_type: Optional[str],
    rescale: str,
    keep_blobs: Collection[str],
    folds: str,
    simplify: bool,
    target: Optional[Target],
) -> Options:
    """The checked options.

    Raises InputError for options that do not fit the model, or each other, and TypeError for one of a wrong type.
    """
    expect(FLAG, allow_bn=allow_bn, prune=prune, simplify=simplify)
    expect(NAME, rescale=rescale, folds=folds)
    expect(NAME.or_none(), weights_format=weights_format, blob_type=blob_type)
    stored = model.required_weights().format
    _check_names(model, "keep", keep, "layer", {layer.name for layer in model.net.layers})
    _check_names(model, "keep_blobs", keep_blobs, "blob", model.net.blob_names)
    for name in strict:
        if name not in STRICT:
            hint = did_you_mean(name, STRICT)
            raise InputError(f"strict {name} is not known{hint}", remedy=f"choose from {', '.join(STRICT)}")
    if "flush" in strict and not policy.checked:
        raise InputError(
            "strict flush needs the half range, which half policy off does not check", remedy="choose another policy"
        )
    if allow_bn and "bn" in strict:
        raise InputError("strict bn and allow_bn contradict each other", remedy="omit one of them")
    _check_choice("weights format", weights_format, (None, *(format.name for format in FORMATS)))
    _check_choice("blob type", blob_type, (None, *BLOB_TYPES))
    if target is not None:
        blob_type, simplify = _for_target(target, blob_type, simplify)
    _check_choice("mode of rescale", rescale, RESCALE)
    _check_choice("value of folds", folds, FOLDS)
    return Options(
        frozenset(keep),
        policy,
        frozenset(strict),
        allow_bn,
        prune,
        weights_format or stored,
        blob_type,
        rescale,
        frozenset(keep_blobs),
        folds,
        simplify,
        target,
    )


def _for_target(target: Target, blob_type: Optional[str], simplify: bool) -> Tuple[Optional[str], bool]:
    """The blob type, and whether to simplify, as the target demands. Raises InputError for fp16 that it cannot read."""
    from ..targets.demand import SIMPLIFYING
    from ..targets.files import FLOAT32

    if FLOAT32 in target.demands:
        if blob_type == "float16":
            raise InputError(f"{target.title} does not read fp16 weights", remedy="omit --blob-type float16")
        blob_type = "float32"
    return blob_type, simplify or any(demand.by == SIMPLIFYING for demand in target.demands)


def _check_names(model: Model, option: str, names: Iterable[str], what: str, known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(
                f"{option} names {name}, which is not a {what} of the net{did_you_mean(name, known)}",
                where=model.document.path,
                remedy="caffe-fuse show lists them",
            )


def _check_choice(what: str, chosen: Optional[str], known: Sequence[Optional[str]]) -> None:
    if chosen not in known:
        names = [name for name in known if name]
        hint = did_you_mean(str(chosen), names)
        raise InputError(f"{what} {chosen} is not known{hint}", remedy=f"choose from {', '.join(names)}")
