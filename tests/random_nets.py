"""Random nets: layers with weights followed by chains, branches and shared parameters.

A Builder asks Choices for every decision, so that Hypothesis can shrink them or a seed can repeat them. The nets of
`Builder` have what a fold looks at; those of `WideBuilder` also have layers between, before and after.
"""

from __future__ import annotations

from random import Random
from typing import Any, List, NamedTuple, Protocol, Sequence, Tuple

from nets import layer, text

INPUT = (2, 4, 5, 4)
Shape = Tuple[int, ...]


class Choices(Protocol):
    def one_of(self, choices: Sequence[Any]) -> Any: ...

    def number(self, low: int, high: int) -> int:
        """Returns an integer; `high` is included."""

    def coin(self) -> bool: ...


class Seeded:
    """Choices drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self._random.choice(choices)

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def coin(self) -> bool:
        return self._random.random() < 0.5


class Blob(NamedTuple):
    name: str
    shape: Shape


class Builder:
    """Writes a net line by line. Layers are l0, l1, ...; blobs are b0, b1, ..."""

    kinds: Tuple[str, ...] = (
        *(*["convolution"] * 2, "deconvolution", "product", "join", "function", "twins", "gathered", "led", "idle"),
    )
    functions: Tuple[Tuple[str, str], ...] = (("ReLU", ""), ("Sigmoid", ""))

    def __init__(self, choices: Choices, affines: bool = True, shape: Shape = INPUT) -> None:
        self.choices = choices
        self.affines = affines
        self.shape = shape
        self.lines: List[str] = []
        self.blobs: List[Blob] = [Blob("x", shape)]

    def net(self, blocks: int) -> bytes:
        for _ in range(blocks):
            getattr(self, self.choices.one_of(self.kinds))(self.bottom())
        return text(*self.lines, shape=self.shape)

    def bottom(self) -> Blob:
        found: Blob = self.choices.one_of(self.blobs)
        return found

    def add(self, type_name: str, bottoms: Sequence[Blob], shape: Shape, rest: str, in_place: bool = False) -> Blob:
        number = len(self.lines)
        top = bottoms[0] if in_place else Blob(f"b{number}", shape)
        names = " ".join(bottom.name for bottom in bottoms)
        self.lines.append(layer(f"l{number}", type_name, names, top.name, rest))
        if not in_place:
            self.blobs.append(top)
        return top

    def convolution(self, bottom: Blob) -> None:
        self.windowed_block("Convolution", bottom)

    def deconvolution(self, bottom: Blob) -> None:
        self.windowed_block("Deconvolution", bottom)

    def windowed_block(self, type_name: str, bottom: Blob) -> None:
        if len(bottom.shape) < 4:
            self.join(bottom)
        else:
            self.chain(self.windowed(type_name, bottom, self.window(bottom), ""))

    def window(self, bottom: Blob) -> Tuple[int, str]:
        """Returns the count of outputs, and settings that preserve the size of the image."""
        group = self.groups(bottom)
        outputs = group * self.choices.one_of([1, 2, 3])
        kernel = self.choices.one_of(["kernel_size: 1", "kernel_size: 3 pad: 1", "kernel_size: 3 pad: 2 dilation: 2"])
        bias = self.choices.one_of(["", "bias_term: false", "bias_term: true"])
        return outputs, f"convolution_param {{ num_output: {outputs} group: {group} {kernel} {bias} }}"

    def groups(self, bottom: Blob) -> int:
        channels = bottom.shape[1]
        found: int = self.choices.one_of([size for size in (1, 2, channels) if channels % size == 0])
        return found

    def windowed(self, type_name: str, bottom: Blob, window: Tuple[int, str], params: str) -> Blob:
        outputs, settings = window
        return self.add(type_name, [bottom], (bottom.shape[0], outputs, *bottom.shape[2:]), f"{settings} {params}")

    def product(self, bottom: Blob) -> None:
        outputs = self.choices.one_of([8, 9, 11])  # of so few values that all are lucky there is no noise to judge by
        transpose, bias = self.choices.one_of(["", "transpose: true"]), self.choices.one_of(["", "bias_term: false"])
        settings = f"inner_product_param {{ num_output: {outputs} {transpose} {bias} }}"
        self.chain(self.add("InnerProduct", [bottom], (bottom.shape[0], outputs), settings))

    def join(self, bottom: Blob) -> None:
        other = self.choices.one_of([blob for blob in self.blobs if blob.shape[2:] == bottom.shape[2:]])
        if other.shape == bottom.shape and self.choices.coin():
            self.chain(self.add("Eltwise", [bottom, other], bottom.shape, self.operation(2)))
        else:
            channels = bottom.shape[1] + other.shape[1]
            shape = (bottom.shape[0], channels, *bottom.shape[2:])
            self.chain(self.add("Concat", [bottom, other], shape, ""))

    def operation(self, _count: int) -> str:
        return ""

    def gathered(self, bottom: Blob) -> None:
        """Layers with weights that meet again, with nothing else that reads them, and a chain after all."""
        if len(bottom.shape) < 4:
            self.join(bottom)
            return
        before = list(self.blobs)
        window = self.window(bottom)
        tops = [self.windowed("Convolution", bottom, window, "") for _ in range(self.choices.number(2, 3))]
        if self.affines and self.choices.coin():
            tops[0] = self.add("BatchNorm", [tops[0]], tops[0].shape, "", in_place=self.choices.coin())
        if self.choices.coin():
            top = self.add("Eltwise", tops, tops[0].shape, self.operation(len(tops)))
        else:
            shape = (bottom.shape[0], window[0] * len(tops), *bottom.shape[2:])
            top = self.add("Concat", tops, shape, "")
        if self.choices.coin():
            pooling = self.choices.one_of(["pool: AVE kernel_size: 3 stride: 1", "pool: MAX kernel_size: 3 pad: 1"])
            pad = 0 if "pad" in pooling else 2
            sizes = [size - pad for size in top.shape[2:]]
            if min(sizes) > 0:
                top = self.add("Pooling", [top], (*top.shape[:2], *sizes), f"pooling_param {{ {pooling} }}")
        self.blobs = [*before, top]
        self.chain(top)

    def led(self, bottom: Blob) -> None:
        """A chain that only a layer with weights reads."""
        before = list(self.blobs)
        blob = bottom
        for _ in range(self.choices.number(1, 2) if self.affines else 0):
            blob = self.add(*self._link(blob))
        self.blobs.append(blob)
        product = len(bottom.shape) < 4 or self.choices.coin()
        (self.product if product else self.convolution)(blob)
        self.blobs = [*before, *(each for each in self.blobs if each not in before and each != blob)] or before

    def _link(self, blob: Blob) -> Tuple[str, List[Blob], Shape, str]:
        type_name, rest = self.affine(blob)
        return type_name, [blob], blob.shape, rest

    def function(self, bottom: Blob) -> None:
        type_name, settings = self.choices.one_of(self.functions)
        self.chain(self.add(type_name, [bottom], bottom.shape, settings))

    def idle(self, bottom: Blob) -> None:
        """Layers that change nothing, or whose tops only a Silence reads.

        No in-place layer follows those that share the memory of their bottom: it would change that.
        """
        kind = self.choices.one_of(["Split", "Concat", "Slice", "Dropout", "Silence", "unread"])
        if kind == "Silence":
            self.silence(bottom)
        elif kind == "unread":
            before = list(self.blobs)
            self.chain(self.add("Sigmoid", [bottom], bottom.shape, ""))
            self.silence(self.blobs[-1])
            self.blobs = before
        elif kind == "Split":
            number = len(self.lines)
            tops = [Blob(f"b{number}{mark}", bottom.shape) for mark in ("", "_")]
            self.lines.append(layer(f"l{number}", "Split", bottom.name, " ".join(top.name for top in tops)))
            self.blobs += tops
        elif kind == "Dropout":
            self.chain(self.add(kind, [bottom], bottom.shape, ""))
        else:
            self.add(kind, [bottom], bottom.shape, "")

    def silence(self, bottom: Blob) -> None:
        self.lines.append(f'layer {{ name: "l{len(self.lines)}" type: "Silence" bottom: "{bottom.name}" }}')

    def twins(self, bottom: Blob) -> None:
        """Adds two convolutions with the same weights; the layers after them are shared as well, or not."""
        if len(bottom.shape) < 4:
            self.join(bottom)
            return
        window = self.window(bottom)
        names = f'param {{ name: "w{len(self.lines)}" }}'
        shared = self.choices.coin()
        for _ in range(2):
            top = self.windowed("Convolution", bottom, window, names)
            if shared and self.affines:
                self.shared_norm(top, names)
            else:
                self.chain(top)

    def shared_norm(self, bottom: Blob, names: str) -> Blob:
        mean, variance, factor = (names.replace('"w', f'"{part}') for part in ("mean", "variance", "factor"))
        return self.add("BatchNorm", [bottom], bottom.shape, f"{mean} {variance} {factor}")

    def chain(self, blob: Blob) -> None:
        for _ in range(self.choices.number(0, 4) if self.affines else 0):
            type_name, rest = self.affine(blob)
            blob = self.add(type_name, [blob], blob.shape, rest, in_place=self.choices.coin())
        if self.choices.coin():
            self.add("ReLU", [blob], blob.shape, "", in_place=True)

    def affine(self, blob: Blob) -> Tuple[str, str]:
        type_name = self.choices.one_of(["BatchNorm", "BatchNorm", "Scale", "Scale", "Bias", "Power", "Dropout"])
        axis = self.choices.one_of(["", f"axis: {1 - len(blob.shape)}", "num_axes: 0"])
        settings = {
            "BatchNorm": ["", "batch_norm_param { eps: 0.25 }", "batch_norm_param { use_global_stats: true }"],
            "Scale": [f"scale_param {{ {axis} {bias} }}" for bias in ("", "bias_term: true")],
            "Bias": [f"bias_param {{ {axis} }}"],
            "Power": ["", "power_param { scale: -0.5 }", "power_param { shift: 1.5 scale: 2 }"],
            "Dropout": [""],
        }
        return type_name, self.choices.one_of(settings[type_name])


class WideBuilder(Builder):
    """A Builder with pooling, strides, slices, more functions and operations, and layers of one phase only."""

    kinds = (
        *Builder.kinds,
        "convolution",
        *["deconvolution"] * 2,
        "product",
        "pooling",
        "slices",
        "flat",
        "other_phase",
    )
    functions = (
        *Builder.functions,
        ("ReLU", "relu_param { negative_slope: 0.2 }"),
        ("PReLU", ""),
        ("PReLU", "prelu_param { channel_shared: true }"),
        ("ELU", "elu_param { alpha: 0.7 }"),
        ("TanH", ""),
        ("AbsVal", ""),
    )

    def add(self, type_name: str, bottoms: Sequence[Blob], shape: Shape, rest: str, in_place: bool = False) -> Blob:
        phase = self.choices.one_of([*[""] * 9, "include { phase: TEST }", "exclude { phase: TRAIN }"])
        return super().add(type_name, bottoms, shape, f"{rest} {phase}".strip(), in_place)

    is_deep = False  # each block follows the one before

    def net(self, blocks: int) -> bytes:
        self.is_deep = self.choices.coin()
        self.convolution(self.blobs[0])
        return super().net(blocks)

    def bottom(self) -> Blob:
        return self.blobs[-1] if self.is_deep else super().bottom()

    def windowed_block(self, type_name: str, bottom: Blob) -> None:
        """Adds a block; half of them with a stride, or without padding, if the image is large enough."""
        if len(bottom.shape) == 4 and min(bottom.shape[2:]) >= 3 and self.choices.coin():
            self.chain(self.strided(type_name, bottom))
        else:
            super().windowed_block(type_name, bottom)

    def strided(self, type_name: str, bottom: Blob) -> Blob:
        (kernel_h, kernel_w), stride, pad = self.choices.one_of([(2, 3), (3, 2), (3, 3)]), self.choices.number(1, 2), 0
        if type_name == "Convolution":
            sizes = [(size - kernel) // stride + 1 for size, kernel in zip(bottom.shape[2:], (kernel_h, kernel_w))]
        else:
            pad = self.choices.number(0, 1)
            ends = zip(bottom.shape[2:], (kernel_h, kernel_w))
            sizes = [stride * (size - 1) + kernel - 2 * pad for size, kernel in ends]
        group, bias = self.groups(bottom), self.choices.one_of(["", "bias_term: false"])
        outputs = group * self.choices.number(1, 3)
        window = f"kernel_h: {kernel_h} kernel_w: {kernel_w} stride: {stride} pad: {pad}"
        settings = f"convolution_param {{ num_output: {outputs} group: {group} {window} {bias} }}"
        return self.add(type_name, [bottom], (bottom.shape[0], outputs, *sizes), settings)

    def operation(self, count: int) -> str:
        operations = ("", "operation: MAX", "operation: PROD", "coeff: 1" + " coeff: -0.5" * (count - 1))
        return f"eltwise_param {{ {self.choices.one_of(operations)} }}"

    def pooling(self, bottom: Blob) -> None:
        if len(bottom.shape) < 4:
            self.join(bottom)
            return
        method = self.choices.one_of(["MAX", "AVE"])
        if self.choices.number(0, 3) == 0:
            settings, sizes = "global_pooling: true", (1, 1)
        else:
            settings, sizes = "kernel_size: 3 stride: 1 pad: 1", (bottom.shape[2], bottom.shape[3])
        shape = (*bottom.shape[:2], *sizes)
        self.chain(self.add("Pooling", [bottom], shape, f"pooling_param {{ pool: {method} {settings} }}"))

    def slices(self, bottom: Blob) -> None:
        channels = bottom.shape[1]
        if channels < 2:
            self.join(bottom)
            return
        point = self.choices.number(1, channels - 1)
        number = len(self.lines)
        tops = [Blob(f"b{number}", (bottom.shape[0], point, *bottom.shape[2:]))]
        tops.append(Blob(f"b{number}_", (bottom.shape[0], channels - point, *bottom.shape[2:])))
        names = " ".join(top.name for top in tops)
        settings = f"slice_param {{ slice_point: {point} }}"
        self.lines.append(layer(f"l{number}", "Slice", bottom.name, names, settings))
        self.blobs += tops

    def flat(self, bottom: Blob) -> None:
        """Adds a Flatten, with no in-place layer after it: that would change the bottom, whose memory it shares."""
        count = 1
        for size in bottom.shape[1:]:
            count *= size
        self.add("Flatten", [bottom], (bottom.shape[0], count), "")

    def other_phase(self, bottom: Blob) -> None:
        """Adds a layer that takes no part in TEST, with a top without consumers."""
        number = len(self.lines)
        rest = self.choices.one_of(["include { phase: TRAIN }", "exclude { phase: TEST }"])
        self.lines.append(layer(f"l{number}", "Power", bottom.name, f"t{number}", rest))
