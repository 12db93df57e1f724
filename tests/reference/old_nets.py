"""The nets of 2013: `layers { layer { } }` becomes `layers { }`. Caffe: upgrade_proto.cpp UpgradeV0Net."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from .rules import CaffeAbort

# The V1 types whose V0 name is not their own in small letters
_TYPES = {
    "CONV": "CONVOLUTION",
    "IMAGES": "IMAGE_DATA",
    "INNERPRODUCT": "INNER_PRODUCT",
    "POOL": "POOLING",
}
# What V0 calls otherwise
_RENAMED = {
    "biasterm": "bias_term",
    "kernelsize": "kernel_size",
    "batchsize": "batch_size",
    "shuffle_images": "shuffle",
    "det_fg_threshold": "fg_threshold",
    "det_bg_threshold": "bg_threshold",
    "det_fg_fraction": "fg_fraction",
    "det_context_pad": "context_pad",
    "det_crop_mode": "crop_mode",
}
_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
_AS_THEY_ARE = ("name", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param")


def upgrade_v0(layers: Sequence[Any]) -> List[Any]:
    """The layers as V1, without those of type padding."""
    newest: Dict[str, Any] = {}
    found: List[Any] = []
    for layer in layers:
        new = type(layer)()
        new.bottom.extend(layer.bottom)
        new.top.extend(layer.top)
        pad = layer.layer.pad if layer.layer.HasField("pad") else None
        for index, name in enumerate(layer.bottom):
            source = newest.get(name)
            if source is not None and source.layer.type == "padding":
                if layer.layer.type not in ("conv", "pool"):
                    raise CaffeAbort(f"layer {layer.layer.name}: padding for a layer that is no convolution")
                pad = source.layer.pad
                new.bottom[index] = source.bottom[0]
        if layer.layer.type != "padding":
            _fill(new, layer.layer, pad)
            found.append(new)
        for name in layer.top:
            newest[name] = layer
    return found


def _fill(new: Any, old: Any, pad: Any) -> None:
    label = old.type.upper()
    label = _TYPES.get(label, label)
    new.type = new.DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name[label].number
    settings: Any = getattr(new, f"{label.lower()}_param", None)
    names = set() if settings is None else {field.name for field in settings.DESCRIPTOR.fields}
    for field, value in old.ListFields():
        name = _RENAMED.get(field.name, field.name)
        if field.name in _TRANSFORM:
            setattr(new.transform_param, _TRANSFORM[field.name], value)
        elif field.name in _AS_THEY_ARE:
            new.MergeFrom(type(new)(**{field.name: value}))
        elif name in names and name != "pad":
            settings.MergeFrom(type(settings)(**{name: _like(settings, name, value)}))
    if pad is not None and "pad" in names:
        settings.MergeFrom(type(settings)(pad=_like(settings, "pad", pad)))


def _like(settings: Any, name: str, value: Any) -> Any:
    """A value for a field that may be a list now."""
    return [value] if hasattr(getattr(settings, name), "append") else value
