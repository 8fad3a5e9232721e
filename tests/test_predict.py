"""The predicted errors are those that drawn dies cause, and rank allocations as these do."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from small_models import changed_target, gaussian

from rcompile.hardware.faults import Fault, apply_faults
from rcompile.hardware.target import Target
from rcompile.layout.compact import UsedLines
from rcompile.layout.encode import encode
from rcompile.layout.normal_form import Tiles, decode
from rcompile.layout.place import place
from rcompile.layout.quantize import QuantizedLinear
from rcompile.protection.allocate import predict_errors, predicted_error
from rcompile.protection.predict import level_error
from rcompile.protection.protect import survey
from rcompile.vocabulary import Combiner, VotingCombiner, words
from runtime.die import votes as voting

COMBINERS = words(VotingCombiner)


def simulated(
    levels: np.ndarray, replicas: int, combiner: Combiner, target: Target, wordlines: int, sa0: float, sa1: float
) -> np.ndarray:
    """The squared error of one bitline on each of 1500 drawn dies, through the runtime's own self-test."""
    rng = np.random.default_rng(0)
    true = rng.choice(len(levels), size=(1500, wordlines), p=levels).astype(np.uint8)
    fate = rng.random((*true.shape, replicas))
    faults = np.where(fate < sa1, Fault.SA1, np.where(fate > 1 - sa0, Fault.SA0, Fault.GOOD))
    held = apply_faults(np.repeat(true[..., None], replicas, 2), faults, target.top_level)
    error = held.astype(np.float64) - true[..., None]
    if combiner == "cell":
        return ((voting.decide(held, target).astype(int) - true) ** 2).sum(axis=1)
    if combiner in ("select", "subset"):
        found = held.astype(np.int64) - voting.decide(held, target)[..., None]
        handed_out = voting.handed_out(found.transpose(1, 0, 2), voting.tickets_of(combiner, replicas))
        return (np.take_along_axis(error, handed_out.T[:, None], axis=2).mean(axis=2) ** 2).sum(axis=1)
    if combiner == "mean":
        return (error.mean(axis=2) ** 2).sum(axis=1)
    bits = rng.random((len(true), 64, wordlines)) < 0.5
    reads = np.sort(np.einsum("dbw,dwr->dbr", bits.astype(float), error), axis=2)[:, :, (replicas - 1) // 2]
    return 4 * reads.var(axis=1, ddof=1)


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize(
    ("replicas", "wordlines", "rate"), [(1, 16, 0.05), (2, 16, 0.05), (3, 16, 0.1), (4, 40, 0.05), (5, 8, 0.1)]
)
def test_prediction_is_what_drawn_dies_give(combiner: Combiner, replicas: int, wordlines: int, rate: float) -> None:
    """Within four standard errors of the mean over the dies; where replicas are taken as independent, though they share
    their levels, also within a third.
    """
    sa0, sa1 = 0.2 * rate, 0.8 * rate
    target = changed_target("ideal128x128", faults={"sa0_rate": sa0, "sa1_rate": sa1})
    levels = np.array([0.4, 0.3, 0.2, 0.1])
    measured = simulated(levels, replicas, combiner, target, wordlines, sa0, sa1)
    predicted = level_error(levels, replicas, combiner, target, [wordlines], sa0, sa1)
    alike = (combiner == "median" and replicas > 4) or (combiner in ("select", "subset") and replicas > 1)
    shared = measured.mean() / 3 if alike else 0.0
    assert abs(predicted - measured.mean()) <= shared + 4 * measured.std() / np.sqrt(len(measured)) + 1e-3


def survey_of(linear: QuantizedLinear, target: Target, inputs: int, outputs: int):
    kept = UsedLines(np.arange(inputs, dtype=np.int32), np.arange(outputs, dtype=np.int32))
    return survey(linear, kept, target)


@pytest.mark.parametrize("combiner", ["cell", "select"])
def test_prediction_ranks_allocations_as_measurement_does(combiner: Combiner) -> None:
    """Spearman >= 0.9 between predicted and measured relative error over a spread of allocations."""
    target = changed_target("ideal128x128", crossbar={"rows": 32, "cols": 64, "active_rows": 32})
    linear = gaussian(64, 24, 1)
    known = survey_of(linear, target, 64, 24)
    rates = 0.005, 0.03
    predicted, measured = [], []
    recipes = [(1, 1, 1, 1), (1, 1, 1, 2), (1, 1, 1, 3), (1, 1, 2, 2), (1, 1, 2, 3), (1, 1, 3, 3), (1, 2, 3, 3), (0, 1, 1, 1), (0, 1, 2, 3), (0, 1, 3, 5)]  # fmt: skip
    for recipe in recipes:
        replicas = np.tile(np.array(recipe, np.uint8), (24, 1))
        predicted.append(
            predicted_error([known], {linear.name: replicas}, predict_errors([known], combiner, target, *rates))
        )
        step = 4 if recipe[0] == 0 else 1
        coarse = QuantizedLinear(
            "c", (np.rint(linear.codes / step) * step).clip(-124, 124).astype(np.int8), linear.weight_scale
        )
        placement = place(known.used, replicas, target.encoding, target)
        tiles = encode(coarse, placement, target)
        errors = []
        for seed in range(6):
            fate = np.random.default_rng(seed).random(tiles.levels.shape)
            faults = np.where(fate < rates[1], Fault.SA1, np.where(fate > 1 - rates[0], Fault.SA0, Fault.GOOD))
            held = voting.resolve(apply_faults(tiles.levels, faults, 3), placement, target, combiner)
            got = decode(Tiles(placement, held, tiles.bitline_inverted), target, 64, 24)
            errors.append((((got - linear.codes) * linear.weight_scale) ** 2).sum() / known.energy)
        measured.append(np.mean(errors))
    assert spearmanr(predicted, measured).statistic >= 0.9
