"""How the report writes numbers: a figure stands with its interval, a count has no decimals."""

from __future__ import annotations

NONE = "–"
"""What stands where there is no figure."""

_FORMATS = {"lesions_recommended": ",.0f", "hazard_ratio": ".2f", "points_": ".1f"}  # by what a name begins with
_USUAL, _VAST = ".3f", 1e6  # from there on digits say nothing: a hazard ratio whose interval has no end


def written(name: str, value: float | None) -> str:
    """Return a figure's value as text; a dash where it is undefined.

    Args:
        name: the figure's, which says how many decimals it has.
        value: as a report has it.
    """
    if value is None:
        return NONE
    if abs(value) >= _VAST:
        return f"{value:.1e}"
    return format(value, next((how for begin, how in _FORMATS.items() if name.startswith(begin)), _USUAL))


def with_interval(name: str, value: float | None, low: float | None, high: float | None) -> str:
    """Return a figure with its interval as text: ``0.900 (0.800 to 0.950)``."""
    if value is None:
        return "undefined"
    ends = "no interval" if low is None or high is None else f"{written(name, low)} to {written(name, high)}"
    return f"{written(name, value)} ({ends})"


def p_value(p: float) -> str:
    """Return a p value as text; below a thousandth the paper's way."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def share(part: int, whole: int) -> str:
    """Return a count out of another: ``25 of 28 (89 %)``."""
    return f"{part:,} of {whole:,}" + (f" ({part / whole:.0%})".replace("%", " %") if whole else "")


def listed(counts: dict[str, int]) -> str:
    """Return counts by name in words, without those that are 0: ``3 breslow, 1 age``."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)
