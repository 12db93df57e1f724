"""Generation V0, `layers { layer { } }`: one message has the parameters of all types, and padding is a layer."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

from ..errors import InputError, InternalError
from ..schema import messages as schema
from .type_names import from_v0
from .v1 import set_specs

_WEIGHTS = {
    "num_output": "num_output",
    "biasterm": "bias_term",
    "weight_filler": "weight_filler",
    "bias_filler": "bias_filler",
}
_WINDOW = {"pad": "pad", "kernelsize": "kernel_size", "stride": "stride"}
_BATCHES = {"source": "source", "batchsize": "batch_size"}

# By a V0 layer's type: the V2 message of its parameters, and the names of its fields there (Caffe: upgrade_proto.cpp
# UpgradeV0LayerParameter). Fields of other types are ignored.
_PARAMETERS: Mapping[str, Tuple[str, Mapping[str, str]]] = {
    "conv": ("convolution_param", {**_WEIGHTS, **_WINDOW, "group": "group"}),
    "innerproduct": ("inner_product_param", _WEIGHTS),
    "pool": ("pooling_param", {**_WINDOW, "pool": "pool"}),
    "dropout": ("dropout_param", {"dropout_ratio": "dropout_ratio"}),
    "lrn": ("lrn_param", {"local_size": "local_size", "alpha": "alpha", "beta": "beta", "k": "k"}),
    "concat": ("concat_param", {"concat_dim": "concat_dim"}),
    "infogain_loss": ("infogain_loss_param", {"source": "source"}),
    "data": ("data_param", {**_BATCHES, "rand_skip": "rand_skip"}),
    "hdf5_data": ("hdf5_data_param", _BATCHES),
    "images": (
        "image_data_param",
        {
            **_BATCHES,
            "rand_skip": "rand_skip",
            "shuffle_images": "shuffle",
            "new_height": "new_height",
            "new_width": "new_width",
        },
    ),
    "window_data": (
        "window_data_param",
        {
            **_BATCHES,
            "det_fg_threshold": "fg_threshold",
            "det_bg_threshold": "bg_threshold",
            "det_fg_fraction": "fg_fraction",
            "det_context_pad": "context_pad",
            "det_crop_mode": "crop_mode",
        },
    ),
}
_OF_EVERY_TYPE = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}

PADDING = "padding"
_PADDED = ("conv", "pool")


def upgraded(message: Any) -> Any:
    """The V2 LayerParameter of a V0 layer, which is a V1LayerParameter with a `layer` in it."""
    old = message.layer
    parameter = schema.new("LayerParameter")
    if old.HasField("name"):
        parameter.name = old.name
    if old.HasField("type"):
        parameter.type = from_v0(old.type)
    for name, values in (("bottom", message.bottom), ("top", message.top), ("blobs", old.blobs)):
        schema.put(parameter, name, values)
    set_specs(parameter, "lr_mult", old.blobs_lr)
    set_specs(parameter, "decay_mult", old.weight_decay)
    settings, known = _PARAMETERS.get(old.type, ("", {}))
    for field, value in old.ListFields():
        if field.name in known:
            schema.put(getattr(parameter, settings), known[field.name], value)
        elif field.name in _OF_EVERY_TYPE:
            schema.put(parameter.transform_param, _OF_EVERY_TYPE[field.name], value)
        elif field.name == "hdf5_output_param" and old.type == "hdf5_output":
            schema.put(parameter, field.name, value)
    return parameter


def without_padding(layers: Mapping[int, Any], path: str) -> Dict[int, Any]:
    """The layers of a V0 net, by index, without its padding layers: their consumers pad instead.

    Caffe: upgrade_proto.cpp UpgradeV0PaddingLayers. Raises InputError where that function fails.
    """
    producers: Dict[str, Any] = {}
    kept: Dict[int, Any] = {}
    for place, layer in layers.items():
        padding = next((producers[name] for name in layer.bottom if _is_padding(producers.get(name))), None)
        if padding is not None:
            layer = _padded(layer, padding, path)
        if not _is_padding(layer):
            kept[place] = layer
        producers.update(dict.fromkeys(layer.top, layer))
    return kept


def _is_padding(layer: Optional[Any]) -> bool:
    return layer is not None and layer.layer.type == PADDING


def _padded(layer: Any, padding: Any, path: str) -> Any:
    if layer.layer.type not in _PADDED or (len(layer.bottom), len(padding.bottom), len(padding.top)) != (1, 1, 1):
        raise InputError(
            f"layer {layer.layer.name} reads the padding layer {padding.layer.name}, "
            "but only a conv or pool layer with one bottom can",
            where=path,
        )
    result = schema.copy_of(layer)
    result.layer.pad = padding.layer.pad
    result.bottom[0] = padding.bottom[0]
    return result


def changed(message: Any, before: Any, after: Any) -> Any:
    """A copy of `message`, the V0 form of the V2 LayerParameter `before`, changed so that it means `after`."""
    result, explained = schema.copy_of(message), schema.copy_of(before)
    if before.top != after.top:
        for changing in (result, explained):
            del changing.top[:]
            changing.top.extend(after.top)
    if before.blobs and not after.blobs:
        del result.layer.blobs[:], explained.blobs[:]
    settings, known = _PARAMETERS.get(message.layer.type, ("", {}))
    for old, new in known.items():
        value = getattr(getattr(after, settings), new)
        if value != getattr(getattr(before, settings), new):
            setattr(result.layer, old, value)
            setattr(getattr(explained, settings), new, value)
    if explained != after:
        raise InternalError(f"the change of layer {before.name} cannot be expressed in generation V0")
    return result
