"""Mutations of bytes and of nets for fuzzing. All choices come from one Random, so a seed repeats them."""

from __future__ import annotations

import re
from random import Random
from typing import List, Sequence

INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    4,
    5,
    7,
    16,
    31,
    32,
    33,
    255,
    65536,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32 - 1,
    2**63 - 1,
    2**63,
)
SMALL = (0, 1, -1, 2, 3, -2, 4, 5, 6, 7, 8, 12, -3)
REALS = ("0", "1", "-1", "0.5", "1e-40", "1e-7", "1e30", "-1e30", "3.4e38", "inf", "-inf", "nan", "65504", "1e39", "-2")
WORDS = (
    ("true", "false"),
    ("MAX", "AVE", "STOCHASTIC"),
    ("SUM", "PROD", "MAX", "MEAN", "ASUM", "SUMSQ"),
    ("TRAIN", "TEST"),
    ("RELU", "CONVOLUTION", "DECONVOLUTION", "INNER_PRODUCT", "POOLING", "SPLIT", "FLATTEN", "SIGMOID"),
    ("LEARN", "INFERENCE"),
    ("ACROSS_CHANNELS", "WITHIN_CHANNEL"),
)
STRINGS = ("", "x", "data", "a/b", "..", "$#x#$", "\\001", "\\303\\251", "\\377", "n" * 300, "per_img", "*", "0")
PARAMETERS = (
    "include { phase: TRAIN }",
    "include { phase: TEST }",
    'include { stage: "deploy" }',
    'exclude { not_stage: "deploy" }',
    "exclude { min_level: 1 }",
    'param { name: "w" }',
    'param { name: "w" } param { name: "w" }',
    "param { lr_mult: 0 }",
    "phase: TRAIN",
    "batch_norm_param { use_global_stats: false }",
    "batch_norm_param { eps: 0 }",
    "convolution_param { axis: 2 }",
    "convolution_param { group: 2 dilation: 2 }",
    "convolution_param { kernel_h: 3 kernel_w: 1 pad_h: 1 }",
    "inner_product_param { axis: -1 transpose: true }",
    "scale_param { axis: 0 num_axes: -1 bias_term: true }",
    "scale_param { axis: -1 }",
    "bias_param { num_axes: 0 }",
    "concat_param { axis: 0 }",
    "eltwise_param { operation: PROD }",
    "eltwise_param { coeff: 1e30 coeff: -1 }",
    "pooling_param { global_pooling: true }",
    "pooling_param { kernel_size: 3 stride: 2 pad: 1 pool: AVE }",
    "reshape_param { shape { dim: 0 dim: -1 } }",
    "flatten_param { axis: 0 end_axis: -1 }",
    "slice_param { axis: 1 slice_point: 1 }",
    "power_param { power: -1 scale: 0 shift: 0 }",
    "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }",
    "reduction_param { axis: -1 operation: MEAN }",
    "argmax_param { top_k: 2 axis: 1 out_max_val: true }",
    "tile_param { axis: 1 tiles: 3 }",
    "permute_param { order: 0 order: 2 order: 1 }",
    "recurrent_param { num_output: 3 }",
    "embed_param { num_output: 3 input_dim: 5 }",
    "spp_param { pyramid_height: 2 }",
    "crop_param { axis: 2 offset: 1 }",
    "elu_param { alpha: 1e38 }",
    "exp_param { base: 2 shift: 200 }",
    "log_param { base: 10 scale: -1 }",
    "clip_param { min: 2 max: -2 }",
    "prelu_param { channel_shared: true }",
    "shuffle_channel_param { group: 2 }",
    "reorg_param { stride: 2 }",
    "blobs { shape { dim: 1 } data: 1 }",
    "norm_param { across_spatial: false }",
    "interp_param { zoom_factor: 2 }",
    "upsample_param { scale: 2 }",
)
NUMBER = re.compile(r"(?<=: )-?[0-9][-+.0-9e]*")
STRING = re.compile(r'(?<=: )"[^"]*"')
WORD = re.compile(r"(?<=: )[A-Za-z_]+\b")
FIELD = re.compile(r'\b\w+: ("[^"]*"|[-+.\w]+)')
GROUP = re.compile(r"\b\w+ \{ [^{}]* \}")
NAME = re.compile(r"\b\w+(?=:? )")
LAYER = re.compile(r"layers?\s*\{")
DICTIONARY = tuple(
    word.encode() for word in (*PARAMETERS, "layer {", "layers {", "}", "<", ">", ";", "#", '"', "'", "\\x")
)


def mutated_bytes(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Returns the bytes after one to eight small changes."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        place = random.randrange(len(changed) + 1)
        end = min(len(changed), place + random.choice((1, 1, 2, 4, 8, 30, 200)))
        action = random.randrange(9)
        if action == 0 and place < len(changed):
            changed[place] ^= 1 << random.randrange(8)
        elif action == 1:
            changed[place:end] = random.choice(INTEGERS).to_bytes(9, "little", signed=True)[: end - place]
        elif action == 2:
            del changed[place:end]
        elif action == 3:
            changed[place:place] = changed[place:end]
        elif action == 4:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            changed[place:end] = other[start : start + random.choice((1, 8, 60, 400))]
        elif action == 5:
            changed[place:place] = random.choice(DICTIONARY)
        elif action == 6:
            changed[place:end] = bytes(random.randrange(256) for _ in range(end - place))
        elif action == 7 and random.random() < 0.2:
            del changed[place:]
        else:
            changed[place:end] = bytes([random.choice((0, 1, 127, 128, 255))]) * (end - place)
    return bytes(changed)


def mutated_net(net: str, random: Random, others: Sequence[str], types: Sequence[str]) -> str:
    """Returns the net after one to six changes of values, fields and layers."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        net = random.choice(_CHANGES)(net, random, others, types)
    return net


def _replaced(pattern: re.Pattern[str], net: str, random: Random, new: str) -> str:
    found = list(pattern.finditer(net))
    if not found:
        return net
    hit = random.choice(found)
    return net[: hit.start()] + new + net[hit.end() :]


def _number(net: str, random: Random, *_: object) -> str:
    found = list(NUMBER.finditer(net))
    if not found:
        return net
    hit = random.choice(found)
    is_real = not hit.group().isdigit() or random.random() < 0.05
    new = random.choice(REALS if is_real else random.choice((SMALL, SMALL, SMALL, INTEGERS)))
    return f"{net[: hit.start()]}{new}{net[hit.end() :]}"


def _string(net: str, random: Random, *_: object) -> str:
    """Replaces a name by another one of the net, or by a strange one."""
    known = STRING.findall(net)
    new = random.choice(known) if known and random.random() < 0.7 else f'"{random.choice(STRINGS)}"'
    return _replaced(STRING, net, random, new)


def _type(net: str, random: Random, _others: object, types: Sequence[str]) -> str:
    return _replaced(re.compile(r'(?<=type: )"[^"]*"'), net, random, f'"{random.choice(types)}"')


def _word(net: str, random: Random, *_: object) -> str:
    """Replaces true by false, and one name of an enumeration by another."""
    found = list(WORD.finditer(net))
    if not found:
        return net
    hit = random.choice(found)
    kin = [words for words in WORDS if hit.group() in words] or WORDS
    return f"{net[: hit.start()]}{random.choice(random.choice(kin))}{net[hit.end() :]}"


def _name(net: str, random: Random, *_: object) -> str:
    return _replaced(NAME, net, random, random.choice(NAME.findall(net) or ["layer"]))


def _without(net: str, random: Random, *_: object) -> str:
    return _replaced(random.choice((FIELD, GROUP)), net, random, "")


def _twice(net: str, random: Random, *_: object) -> str:
    found = [hit.group() for hit in random.choice((FIELD, GROUP)).finditer(net)]
    return _inserted(net, random, random.choice(found)) if found else net


def _parameter(net: str, random: Random, *_: object) -> str:
    return _inserted(net, random, random.choice(PARAMETERS))


def _inserted(net: str, random: Random, text: str) -> str:
    """Inserts a field at the end of a layer."""
    ends = [place for place in range(len(net)) if net[place : place + 2] == "}\n"]
    place = random.choice(ends) if ends else len(net)
    return f"{net[:place]} {text} {net[place:]}"


def _layers(net: str, random: Random, others: Sequence[str], _types: object) -> str:
    """Removes, doubles or moves a layer; or inserts one of another net, with bottoms of this one."""
    parts = parts_of(net)
    place, action = random.randrange(len(parts)), random.randrange(4)
    if action == 0:
        del parts[place]
    elif action == 1:
        parts.insert(place, parts[place])
    elif action == 2:
        parts.insert(random.randrange(len(parts)), parts.pop(place))
    else:
        guest = random.choice(parts_of(random.choice(others)))
        names = re.findall(r'(?:top|bottom|input): ("[^"]*")', net) or ['"x"']
        parts.insert(place + 1, re.sub(r'(?<=bottom: )"[^"]*"', lambda _: random.choice(names), guest))
    return "".join(parts)


def parts_of(net: str) -> List[str]:
    """Returns the text before the first layer, and each layer."""
    starts = [0, *(hit.start() for hit in LAYER.finditer(net)), len(net)]
    return [net[start:end] for start, end in zip(starts, starts[1:])]


_CHANGES = (_number, _number, _number, _string, _type, _word, _name, _without, _twice, _parameter, _parameter, _layers)
