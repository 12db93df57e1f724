"""Counts, from the wiring of a net alone, which of its BatchNorms fold into a layer that is not next to them.

Written independently of the package, from the rules in words: every producer of a value takes its part, or none does;
each consumer of a value on the way belongs to the way; a layer after the chain takes it where it does not pad.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set

WEIGHTED = {"Convolution", "Deconvolution", "InnerProduct", "ConvolutionDepthwise", "DepthwiseConvolution"}
CHAIN = {"BatchNorm", "BN", "Scale", "Bias", "Dropout"}
MOVING = {"Permute", "Reshape", "Flatten", "Slice", "Crop", "Split"}


@dataclass
class Value:
    """One version of a blob."""

    name: str
    producer: Optional[Any] = None
    consumers: List[Any] = field(default_factory=list)


class Wiring:
    """layers: LayerParameters of one phase, in the order of the text. plans: whether all scales are above 0."""

    def __init__(self, inputs: List[str], layers: List[Any], plans: bool) -> None:
        self.plans = plans
        newest = {name: Value(name) for name in inputs}
        self.bottoms: Dict[str, List[Value]] = {}
        self.tops: Dict[str, List[Value]] = {}
        self.layers = layers
        for layer in layers:
            self.bottoms[layer.name] = [newest[name] for name in layer.bottom]
            for value in self.bottoms[layer.name]:
                value.consumers.append(layer)
            self.tops[layer.name] = []
            for name in layer.top:
                newest[name] = Value(name, layer)
                self.tops[layer.name].append(newest[name])
        names = [spec.name for layer in layers for spec in layer.param if spec.name]
        self.shared = {name for name in names if names.count(name) > 1}

    def chains(self) -> List[List[Any]]:
        """Consecutive layers of CHAIN, each the only consumer of the one before."""
        found: List[List[Any]] = []
        seen: Set[str] = set()
        for layer in self.layers:
            if layer.name in seen or not self._is_link(layer):
                continue
            chain = [layer]
            while True:
                consumers = self.tops[chain[-1].name][0].consumers
                if len(consumers) != 1 or not self._is_link(consumers[0]):
                    break
                chain.append(consumers[0])
            seen |= {each.name for each in chain}
            found.append(chain)
        return found

    def _is_link(self, layer: Any) -> bool:
        return layer.type in CHAIN and len(layer.bottom) == len(layer.top) == 1

    def is_direct(self, chain: List[Any]) -> bool:
        """Whether the layer before the chain has weights of its own, and nothing else reads it."""
        value = self.bottoms[chain[0].name][0]
        return len(value.consumers) == 1 and self._takes(value.producer)

    def _takes(self, layer: Any) -> bool:
        if layer is None or layer.type not in WEIGHTED or len(layer.top) != 1:
            return False
        return not any(spec.name in self.shared for spec in layer.param)

    def goes_back(self, chain: List[Any]) -> bool:
        """Whether each layer with weights before the chain can take its part, through others that let it pass."""
        return self._passes(self.bottoms[chain[0].name][0])

    def _passes(self, value: Value) -> bool:
        layer = value.producer
        if len(value.consumers) != 1 or layer is None:
            return False
        if self._takes(layer):
            return True
        if self._is_link(layer):
            return self._passes(self.bottoms[layer.name][0])
        through = layer.type in MOVING | {"Concat"}
        through |= layer.type == "Eltwise" and layer.eltwise_param.operation == layer.eltwise_param.SUM
        pooling = layer.pooling_param
        if layer.type == "Pooling":  # a maximum lets a scale above 0 pass, as all are in a plan without weights
            through = not any((*pooling.pad, pooling.pad_h)) if pooling.pool == pooling.AVE else self.plans
        if not through or len(layer.top) != 1:
            return False
        bottoms = self.bottoms[layer.name]
        return all(map(self._passes, bottoms[:1] if layer.type == "Crop" else bottoms))

    def goes_on(self, chain: List[Any]) -> bool:
        """Whether the one layer after the chain takes it: it has weights of its own, and does not pad."""
        source, end = self.bottoms[chain[0].name][0], self.tops[chain[-1].name][0]
        if len(end.consumers) != 1 or not self._takes(end.consumers[0]):
            return False
        settings = end.consumers[0].convolution_param
        overwrites = any(self.tops[layer.name][0].name == source.name for layer in chain)
        return not overwrites and not any((*settings.pad, settings.pad_h, settings.pad_w, settings.pad_type))


def counts(inputs: List[str], layers: List[Any], plans: bool) -> Dict[str, int]:
    """How many BatchNorm layers fold backward through others, and into the layer after."""
    wiring = Wiring(inputs, layers, plans)
    found = {"backward": 0, "forward": 0}
    for chain in wiring.chains():
        norms = sum(layer.type in ("BatchNorm", "BN") for layer in chain)
        if not wiring.is_direct(chain):
            found["backward"] += norms * wiring.goes_back(chain)
            found["forward"] += norms * (not wiring.goes_back(chain) and wiring.goes_on(chain))
    return found
