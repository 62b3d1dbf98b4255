"""Arithmetic on channel counts."""
import math


def make_divisible(value, divisor, minimum=None):
    """Rounds a channel count to a multiple of `divisor` without losing more than a tenth of it.

    Args:
        value: number, the wanted channel count.
        divisor: positive int.
        minimum: int, smallest result; None for `divisor`.

    Returns:
        int: the nearest multiple (halves go up), at least `minimum`; one multiple more where that
        is below 90 % of `value`.

    Raises:
        ValueError: on a divisor that is not positive.
    """
    if divisor < 1:
        raise ValueError('Channel counts can be made multiples of a positive number only. '
                         'Received instead: {!r}'.format(divisor))
    nearest = divisor * (int(value + divisor / 2) // divisor)
    rounded = max(nearest, divisor if minimum is None else minimum)
    return rounded if rounded >= 0.9 * value else rounded + divisor


def split_evenly(total, parts, divisible_by):
    """Cuts `total` channels into groups as equal as multiples of `divisible_by` allow.

    Args:
        total: int, a multiple of `divisible_by`, at least `parts` times it.
        parts: int, number of groups.
        divisible_by: int.

    Returns:
        list of `parts` ints that add up to `total`; larger groups come where the running sum
        would otherwise fall behind its even share.

    Raises:
        ValueError: if `total` cannot be cut so.
    """
    if total % divisible_by or total < parts * divisible_by:
        raise ValueError('Cannot split {} channels into {} groups of multiples of {}'.format(
            total, parts, divisible_by))
    ends = [divisible_by * math.ceil(total * part / (parts * divisible_by))
            for part in range(parts + 1)]
    return [end - start for start, end in zip(ends, ends[1:])]
