"""Compensation: weights whose cells are free take over what those whose cells are stuck get wrong, as far as the inputs
go together. docs/protection.md, "Compensation", is the prose.

The squared error of an output over the samples is `e^T H e`: e, what its weights are above their codes, H, the second
moments of the inputs. Rounding weight by weight, the rest of an output making up for each, is GPTQ (Frantar et al.,
arXiv 2210.17323), going over all of them again coordinate descent (QuantEase, Behdin et al., arXiv 2309.01885).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcompile.layout.normal_form import F32, I32, I64, U8
from rcompile.protection.nearest import Descent, Reads
from rcompile.protection.reachable import Reachable

F64 = npt.NDArray[np.float64]
# Of the inputs' mean energy, added to that of each: samples are few.
DAMPING = 0.05
# Feeds are multiples of 2^-20. An error is less than 2^13, the feeds of an input add up to less than 4.5 K (by Cauchy
# and Schwarz, as no input has less than DAMPING of the mean energy), and K is 2^16 at most: every sum of products is
# exact in float64, and so the same in any order.
FEED_BITS = 20
# Inputs whose weights are looked at between two matrix products.
AT_A_TIME = 32


@dataclass(frozen=True, eq=False)
class Feeds:
    """What an error in the weight of one input asks of those of the others.

    order: i64 [k], inputs as they are looked at, those of most energy first; the others follow it. before: f64 [k, k],
    asked of row i by the rows before it, where those after it will make up for the rest. around: f64 [k, k], by all
    others. weight: f64 [k], `e^T H e` is the sum over rows of `weight (e + before e)^2`.
    """

    order: I64
    before: F64
    around: F64
    weight: F64


def feeds_of(moments: F32) -> Feeds:
    """The feeds of inputs with these second moments, float32 [k, k].

    With `H = M^T M`, M lower triangular, `e^T H e = |M e|^2`, of which row i has only errors of rows up to i.
    """
    order = np.argsort(-moments.diagonal(), kind="stable")
    damped = moments[np.ix_(order, order)].astype(np.float64)
    diagonal = damped.diagonal() + DAMPING * damped.diagonal().mean()
    np.fill_diagonal(damped, diagonal)
    factor = np.asarray(np.linalg.cholesky(damped[::-1, ::-1]).T[::-1, ::-1], np.float64)
    weight = factor.diagonal() ** 2
    return Feeds(order, _feed(factor, factor.diagonal()), _feed(damped, diagonal), weight)


def _feed(matrix: F64, diagonal: F64) -> F64:
    """Rows over their diagonal, which is left out, on the grid."""
    feed = matrix / diagonal[:, None]
    np.fill_diagonal(feed, 0.0)
    return np.ldexp(np.rint(np.ldexp(feed, FEED_BITS)), -FEED_BITS)


def compensate(
    descents: Sequence[Descent], levels: Sequence[U8], reads: Sequence[Reads | None], feeds: Feeds
) -> list[U8]:
    """Change what the row blocks of some outputs hold so that `e^T H e` of each output falls, their inversions as they
    are; gives their levels. levels: as `settle` gave them with `reads`. An output whose error would not fall stays
    as it was, and one of which a read could then drive a bitline beyond the converter.
    """
    first = [d.missed for d in descents]
    start = -np.concatenate(first)[feeds.order].astype(np.float64)
    rest, zero = (np.concatenate([getattr(d, name) for d in descents])[feeds.order] for name in ("rest", "zero"))
    error = start.copy()
    for feed in (feeds.before, feeds.around):
        _sweep(error, feed, rest, zero, descents[0].reachable)
    stays = _energy(error, feeds) >= _energy(start, feeds)
    missed = np.empty(error.shape, np.int32)
    missed[feeds.order] = -error
    changed = []
    for descent, part in zip(descents, np.split(missed, np.cumsum([len(m) for m in first])[:-1]), strict=True):
        descent.missed = part
        changed.append(descent.levels(slice(None)))
    for before, after, read in zip(levels, changed, reads, strict=True):
        if read:
            stays |= (read.clips(after) & ~read.clips(before)).any(axis=0)
    for descent, before, after, as_it_was in zip(descents, levels, changed, first, strict=True):
        descent.missed[:, stays], after[:, :, stays] = as_it_was[:, stays], before[:, :, stays]
    return changed


def _sweep(error: F64, feed: F64, rest: I32, zero: I64, reachable: Reachable) -> None:
    """Once over the inputs, in place: every weight goes to the value nearest to what is asked of it that its cells can
    hold, unless it is as near already. error: [k, n], of each weight. rest, zero: [k, n], as in `Descent`.
    """
    for first in range(0, len(error), AT_A_TIME):
        last = min(first + AT_A_TIME, len(error))
        asked = -(feed[first:last] @ error)
        for i in range(first, last):
            wanted = asked[i - first]
            code = np.rint(wanted).astype(np.int64)
            found = code - reachable.lack(rest[i] + code, zero[i])
            step = np.where(np.abs(found - wanted) < np.abs(error[i] - wanted), found - error[i], 0.0)
            error[i] += step
            asked[i + 1 - first :] -= feed[i + 1 : last, i, None] * step


def _energy(error: F64, feeds: Feeds) -> F64:
    """`e^T H e` of each output: f64 [n]."""
    return (feeds.weight[:, None] * (error + feeds.before @ error) ** 2).sum(axis=0)
