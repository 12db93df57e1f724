"""The tables of a page with figures: of layers, channels, activations, answers, blobs, and of what a fold saves."""

from __future__ import annotations

from itertools import zip_longest
from math import inf, isfinite, nan
from typing import Callable, List, Sequence, Tuple, Union

from ..judging.agreement import Ranking
from ..judging.answers import HalfAnswer
from ..judging.outcome import BlobDifference, Verification
from ..ranges.expected import Activation
from ..report.cost_table import HEAD, CostRow
from .layers import LayerRow, ListedChannel, Sums
from .tables import Cell, Column, Row, Table, number, without_empty

_BLOB = Column(
    "blob",
    "the number of an array of the layer: 0 holds the weights and 1 the bias of a Convolution, Deconvolution or "
    "InnerProduct; a BatchNorm has mean, variance and their divisor, a Scale factors and shifts",
    True,
)
_SNR = number(
    "SNR, dB", "signal-to-noise ratio: 20 dB is an error of a tenth, 40 dB of a hundredth, 60 dB of a thousandth"
)


def of_layers(rows: Sequence[LayerRow], is_fold: bool) -> Table:
    """Each layer before and after a fold; as it is without one."""
    moments = (" before", " after") if is_fold else ("",)
    meanings = {
        "largest": "the largest magnitude",
        "too large": "how many become infinite in half precision, from 65520 on, or are NaN or infinite already",
        "subnormal": "how many are below 6.1e-5, where half precision loses digits",
        "become 0": "how many are so small that half precision makes them 0",
    }
    columns = [Column("layer"), number("values")]
    columns += [
        number(title + moment, meaning if place == 0 else "")
        for title, meaning in meanings.items()
        for place, moment in enumerate(moments)
    ]
    columns.append(number("largest error", "of a weight, as a share of it; 1 if it becomes 0"))
    return Table(columns, [Row(_layer_cells(row, is_fold), row.link) for row in rows])


def _layer_cells(row: LayerRow, is_fold: bool) -> List[Union[str, Cell]]:
    sides = (row.before, row.after) if is_fold else (row.after,)
    last = row.after or row.before
    cells: List[Union[str, Cell]] = [row.layer, "" if last is None else f"{last.count:,}"]
    shown: Tuple[Callable[[Sums], Union[str, Cell]], ...] = (
        lambda sums: f"{sums.max_abs:.4g}",
        lambda sums: _bad_count(sums.overflow + sums.broken),
        lambda sums: f"{sums.subnormal:,}",
        lambda sums: f"{sums.underflow:,}",
    )
    cells += ["" if side is None else show(side) for show in shown for side in sides]
    return [*cells, "" if last is None else f"{last.max_relative_error:.3g}"]


def _bad_count(count: int) -> Union[str, Cell]:
    return Cell(f"{count:,}", "bad-number") if count else "0"


def of_channels(channels: Sequence[ListedChannel], most: int) -> Table:
    columns = (
        Column("layer"),
        _BLOB,
        number("channel"),
        Column(
            "state",
            "overflow: half precision makes it infinite; lost: it keeps less than 40 dB; weak: less than 60 dB; dead: "
            "it is 0, or too small to matter to any layer that reads it, in any precision, so nothing is lost",
        ),
        number("largest", "the largest magnitude in the channel"),
        number("margin", "how many times it can be doubled before it is too large; below 0 it is too large"),
        _SNR,
        number("gain", "the factor by which the fold multiplies the channel: gamma / sqrt(variance)"),
        Column("from", "the BatchNorm that the gain comes from"),
        number("variance", "what this BatchNorm has stored for the channel"),
    )
    rows = [Row(_channel_cells(each), each.link) for each in channels[:most]]
    return without_empty(Table(columns, rows, len(channels) - len(rows)))


def _channel_cells(each: ListedChannel) -> Sequence[Union[str, Cell]]:
    row, channel = each.row, each.channel
    return (
        row.layer,
        str(row.blob),
        str(channel.channel),
        Cell(channel.state, "bad-number" if channel.state in ("overflow", "lost") else ""),
        f"{channel.max_abs:.4g}",
        f"{channel.margin:.0f}",
        f"{channel.snr:.1f}",
        "" if channel.gain is None else f"{channel.gain:.4g}",
        channel.batch_norm or "",
        "" if channel.variance is None else f"{channel.variance:.4g}",
    )


def of_activations(rows: Sequence[Tuple[Activation, str]]) -> Table:
    columns = (
        Column("blob"),
        Column("layer"),
        number("channels"),
        number("lowest"),
        number("highest"),
        number("too large", "channels that reach 65520, which half precision makes infinite"),
        number("subnormal", "channels that never reach 6.1e-5, below which half precision loses digits"),
        Column("known from"),
    )
    return Table(columns, [Row(_activation_cells(row), link) for row, link in rows])


def _activation_cells(row: Activation) -> Sequence[Union[str, Cell]]:
    return (
        row.blob,
        row.layer or "input",
        f"{row.range.channels:,}",
        f"{row.range.lows.min():.4g}",
        f"{row.range.highs.max():.4g}",
        _bad_count(row.overflow.size),
        f"{row.subnormal.size:,}",
        "data" if row.seen else "prediction",
    )


def of_answers(columns: Sequence[Tuple[str, HalfAnswer]]) -> Table:
    """An output in float32 and in half precision side by side. columns: a title for each net, the first net first."""
    first = columns[0][1]
    if not first.top5:
        heads = [number("float32"), *(number(f"half, {title}") for title, _ in columns)]
        sides = [first.float32_numbers, *(answer.numbers for _, answer in columns)]
        rows = [
            Row([str(place), *map(_answer_number, numbers)])
            for place, numbers in enumerate(zip_longest(*sides, fillvalue=nan))
        ]
        return Table((number("element"), *heads), rows)
    place = next((answer.telling_row for _, answer in reversed(columns) if answer.telling_row), 0)
    rankings = [first.top5[place].float32, *(answer.top5[place].half if answer.top5 else () for _, answer in columns)]
    # A half ranking that begins with NaN says nothing about the classes.
    named = [ranking[0][0] for ranking in rankings[1:] if ranking and ranking[0][1] == ranking[0][1]]
    classes = dict.fromkeys([*(label for label, _ in rankings[0]), *named])
    cells = [[str(label), *(_score(label, ranking) for ranking in rankings)] for label in classes]
    heads = [number("float32"), *(number(f"half, {title}") for title, _ in columns)]
    return Table((number("class"), *heads), [Row(row) for row in cells])


def _score(label: int, ranking: Ranking) -> Union[str, Cell]:
    """The score of a class; of one that is not ranked only that it is lower, if the last one is a number."""
    found = dict(ranking)
    if label in found:
        return _answer_number(found[label])
    return "lower" if ranking and ranking[-1][1] == ranking[-1][1] else "unknown"


def _answer_number(value: float) -> Union[str, Cell]:
    words = f"{value:.5g}"
    return words if isfinite(value) else Cell(words, "bad-number")


def of_blobs(found: Verification) -> Table:
    """The blobs that were compared, the nearest to its bound first."""
    columns = (
        Column("blob"),
        Column("layer"),
        number("difference", "the largest one in float32"),
        number("allowed", "four times what rounding changes in the net itself"),
        number("used", "the difference as a share of what is allowed: above 100 % the nets differ"),
        _SNR,
    )
    rows = [
        Row(
            (
                row.blob,
                row.layer,
                f"{row.max_abs:.3g}",
                f"{row.bound:.3g}",
                Cell(
                    f"{100 * row.share:,.3g} %" if row.share < 1 else f"{100 * row.share:,.0f} %",
                    "" if row.equal else "bad-number",
                ),
                f"{row.snr:.1f}",
            ),
            f"blob-{place}",
        )
        for place, row in enumerate(by_share(found))
    ]
    return Table(columns, rows)


def by_share(found: Verification) -> List[BlobDifference]:
    """The rows, the worst first; a difference that is not a number is the worst."""
    return sorted(found.rows, key=lambda row: row.share if row.share == row.share else inf, reverse=True)


def of_cost(rows: Sequence[CostRow]) -> Table:
    heads = [number(title) for title in HEAD]
    blank = [""] * len(HEAD)
    return Table(
        (Column(""), *heads),
        [
            Row([Cell(row.title, "faint" if row.title.startswith(" ") else ""), *(*row.cells, *blank)[: len(HEAD)]])
            for row in rows
        ],
    )
