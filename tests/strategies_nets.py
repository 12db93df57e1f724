"""Random nets for property tests: weight layers with chains behind them, branches, and shared parameters."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence, Tuple

from hypothesis import strategies as st
from nets import layer, text

INPUT = (2, 4, 5, 4)
Shape = Tuple[int, ...]


class Blob(NamedTuple):
    name: str
    shape: Shape


class _Builder:
    """Writes a net line by line. Layers are l0, l1, ...; blobs are b0, b1, ..."""

    def __init__(self, draw: Any, affines: bool) -> None:
        self.draw = draw
        self.affines = affines
        self.lines: List[str] = []
        self.blobs: List[Blob] = [Blob("x", INPUT)]

    def one_of(self, choices: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(choices))

    def add(self, type_name: str, bottoms: Sequence[Blob], shape: Shape, rest: str, in_place: bool = False) -> Blob:
        number = len(self.lines)
        top = bottoms[0] if in_place else Blob(f"b{number}", shape)
        names = " ".join(bottom.name for bottom in bottoms)
        self.lines.append(layer(f"l{number}", type_name, names, top.name, rest))
        if not in_place:
            self.blobs.append(top)
        return top

    def block(self) -> None:
        kind = self.one_of(["convolution", "convolution", "deconvolution", "product", "join", "activation", "twins"])
        bottom = self.one_of(self.blobs)
        if kind == "product":
            self.chain(self.product(bottom), "")
        elif kind == "join" or len(bottom.shape) < 4:
            self.chain(self.join(bottom), "")
        elif kind == "activation":
            self.chain(self.add(self.one_of(["ReLU", "Sigmoid"]), [bottom], bottom.shape, ""), "")
        elif kind == "twins":
            self.twins(bottom)
        else:
            type_name = "Deconvolution" if kind == "deconvolution" else "Convolution"
            self.chain(self.windowed(type_name, bottom, self.window(bottom), ""), "")

    def window(self, bottom: Blob) -> Tuple[int, str]:
        """The number of outputs, and settings that keep the size of the picture."""
        channels = bottom.shape[1]
        group = self.one_of([size for size in (1, 2, channels) if channels % size == 0])
        outputs = group * self.one_of([1, 2, 3])
        kernel = self.one_of(["kernel_size: 1", "kernel_size: 3 pad: 1", "kernel_size: 3 pad: 2 dilation: 2"])
        bias = self.one_of(["", "bias_term: false", "bias_term: true"])
        return outputs, f"convolution_param {{ num_output: {outputs} group: {group} {kernel} {bias} }}"

    def windowed(self, type_name: str, bottom: Blob, window: Tuple[int, str], params: str) -> Blob:
        outputs, settings = window
        return self.add(type_name, [bottom], (bottom.shape[0], outputs, *bottom.shape[2:]), f"{settings} {params}")

    def product(self, bottom: Blob) -> Blob:
        outputs = self.one_of([8, 9, 11])  # of so few values that all are lucky the original has no noise to judge by
        transpose, bias = self.one_of(["", "transpose: true"]), self.one_of(["", "bias_term: false"])
        settings = f"inner_product_param {{ num_output: {outputs} {transpose} {bias} }}"
        return self.add("InnerProduct", [bottom], (bottom.shape[0], outputs), settings)

    def join(self, bottom: Blob) -> Blob:
        other = self.one_of([blob for blob in self.blobs if blob.shape[2:] == bottom.shape[2:]])
        if other.shape == bottom.shape and self.draw(st.booleans()):
            return self.add("Eltwise", [bottom, other], bottom.shape, "")
        channels = bottom.shape[1] + other.shape[1]
        return self.add("Concat", [bottom, other], (bottom.shape[0], channels, *bottom.shape[2:]), "")

    def twins(self, bottom: Blob) -> None:
        """Two convolutions of the same weights; what follows is shared as well, or not."""
        window = self.window(bottom)
        names = f'param {{ name: "w{len(self.lines)}" }}'
        shared = self.draw(st.booleans())
        sizes = [self.draw(st.integers(0, 2**31)) for _ in range(2)]
        for _ in sizes:
            top = self.windowed("Convolution", bottom, window, names)
            if shared and self.affines:
                self.shared_norm(top, names)
            else:
                self.chain(top, "")

    def shared_norm(self, bottom: Blob, names: str) -> Blob:
        mean, variance, factor = (names.replace('"w', f'"{part}') for part in ("mean", "variance", "factor"))
        return self.add("BatchNorm", [bottom], bottom.shape, f"{mean} {variance} {factor}")

    def chain(self, blob: Blob, _names: str) -> None:
        for _ in range(self.draw(st.integers(0, 4)) if self.affines else 0):
            type_name, rest = self.affine(blob)
            blob = self.add(type_name, [blob], blob.shape, rest, in_place=self.draw(st.booleans()))
        if self.draw(st.booleans()):
            self.add("ReLU", [blob], blob.shape, "", in_place=True)

    def affine(self, blob: Blob) -> Tuple[str, str]:
        type_name = self.one_of(["BatchNorm", "BatchNorm", "Scale", "Scale", "Bias", "Power", "Dropout"])
        axis = self.one_of(["", f"axis: {1 - len(blob.shape)}", "num_axes: 0"])
        settings = {
            "BatchNorm": self.one_of(
                ["", "batch_norm_param { eps: 0.25 }", "batch_norm_param { use_global_stats: true }"]
            ),
            "Scale": f"scale_param {{ {axis} {self.one_of(['', 'bias_term: true'])} }}",
            "Bias": f"bias_param {{ {axis} }}",
            "Power": self.one_of(["", "power_param { scale: -0.5 }", "power_param { shift: 1.5 scale: 2 }"]),
            "Dropout": "",
        }
        return type_name, settings[type_name]


@st.composite
def nets(draw: Any, affines: bool = True) -> bytes:
    """A prototxt with input x of shape INPUT, each layer on a line of its own."""
    builder = _Builder(draw, affines)
    for _ in range(draw(st.integers(1, 4))):
        builder.block()
    return text(*builder.lines, shape=INPUT)
