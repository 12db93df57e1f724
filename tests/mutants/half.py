"""Faults in caffe_fuse/half/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CHANNELS = "half/channels.py"
CLASSES = "half/classes.py"
INFLUENCE = "half/influence.py"
LOST_CHANNELS = "half/lost_channels.py"
ROUNDING = "half/rounding.py"

TEST_LOSSES = "tests/half/test_losses.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "the margin counts half powers of two",
        CHANNELS,
        "np.floor(np.log2(LARGEST / self.max_abs))",
        "np.floor(2 * np.log2(LARGEST / self.max_abs))",
        "tests/half/test_channels.py",
    ),
    Mutant(
        "what a device clips to 65504 is safe",
        CLASSES,
        "finite & (magnitudes >= OVERFLOW)",
        "finite & np.isinf(fp16)",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "the bias no part of a sum",
        INFLUENCE,
        "                found += measure(blob",
        "                found += 0 * measure(blob",
        "tests/rescale/test_effects.py",
    ),
    Mutant(
        "a dead reader taken for alive",
        INFLUENCE,
        "np.where(alive, sums, np.inf)",
        "sums",
        "tests/rescale/test_effects.py",
    ),
    Mutant(
        "the numbers of a channel are those of the next one",
        INFLUENCE,
        "found: np.ndarray = energies[channels] * gains[own]",
        "found: np.ndarray = energies[channels - 1] * gains[own]",
        "tests/rescale/test_effects.py",
    ),
    Mutant(
        "a number that is lost in a BatchNorm is of channel 0",
        LOST_CHANNELS,
        "channels_of(layer, index) or Layout(1, 1, 1, blob.count)",
        "layout or Layout(1, 1, 1, blob.count)",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "an overflow that does no harm",
        LOST_CHANNELS,
        "loss._replace(channels=np.union1d(loss.overflow, poor))",
        "loss._replace(channels=poor)",
        TEST_LOSSES + "::test_an_overflow_is_never_harmless",
    ),
    Mutant(
        "what is small is as exact where it is flushed",
        ROUNDING,
        '        if self.subnormals == "flushed":\n            return SMALLEST_NORMAL\n',
        "",
        TEST_LOSSES + "::test_what_is_lost_of_small_weights_is_up_to_the_device",
    ),
)
