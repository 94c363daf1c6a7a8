"""Medians, their spread, and what is inside the noise. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ("Floor", "Spread", "floor_of", "ratios", "spread_of")


@dataclass(frozen=True)
class Spread:
    """A sample in five numbers.

    :param low: the lower quartile.
    :param high: the upper quartile.
    :param surely_from: where the median lies with 95 % confidence: from here ...
    :param surely_to: ... to here.
    """

    median: float
    low: float
    high: float
    surely_from: float
    surely_to: float


@dataclass(frozen=True)
class Floor:
    """How far from 1 the ratio of something to itself may be: the noise of a run."""

    width: float

    def hides(self, ratio: Spread) -> bool:
        """Whether a ratio cannot be told from 1."""
        return ratio.surely_from <= 1 + self.width and ratio.surely_to >= 1 - self.width


def spread_of(sample: Sequence[float]) -> Spread:
    """Sum up a sample; nothing is assumed of how it is distributed.

    The confidence interval is that of the sign test: the median lies between two order statistics.
    """
    ordered = sorted(sample)
    count = len(ordered)
    if count == 1:
        return Spread(*ordered * 5)
    reach = 0.98 * count**0.5
    first, last = int(count / 2 - reach), int(count / 2 + reach)
    low, median, high = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(median, low, high, ordered[max(0, first)], ordered[min(count - 1, last)])


def floor_of(ratio: Spread) -> Floor:
    """The noise, from the ratio of a contender to itself."""
    return Floor(max(abs(ratio.surely_from - 1), abs(ratio.surely_to - 1)))


def ratios(pairs: Sequence[Sequence[float]], of: str) -> list[float]:
    """The contender over its limit in each pair, of "cpu" or of "wall" time."""
    at = 0 if of == "cpu" else 2
    return [pair[at] / pair[at + 1] for pair in pairs]
