"""A whole model against the same model in ONNX Runtime's dynamic int8: a batch at a time, and a sweep over dies."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
from scale import Scale
from timing import FAULTY, TARGET, seconds, show, side_by_side

import runtime
from rcompile import RcompileError
from rcompile.onnx_in.text import Feeds, ModelInput, TextEncoder
from runtime.ort.baseline import int8_session
from runtime.scoring.data import DATA_VARIABLE
from runtime.scoring.glue import TASKS
from runtime.scoring.question import BATCH

TOKENIZER = Path(__file__).resolve().parent.parent / "docs" / "demo" / "tokenizer.json"
# Every 20th part of the token counts of SST-2's 872 validation sentences, least to most; padded in batches they come
# within 1 % of the real ones.
SST2_TOKENS = (4, 10, 12, 14, 16, 18, 20, 21, 22.4, 24, 26, 27, 29, 30, 32, 34.25, 37, 40, 43, 47, 62)


def bench_session(folder: Path, scale: Scale) -> dict[str, object]:
    """Sentences of one length, batch by batch. The key is the worst of the configurations' medians."""
    ratios, rows = {}, []
    for threads in (1, 2):
        theirs = int8_session(folder / f"{scale.small.name}.onnx", threads)
        ours = runtime.load(folder / f"{scale.small.name}.bundle", threads=threads)
        for batch in (1, 32):
            feeds = _feeds(np.full(batch, scale.tokens), scale.small.vocabulary)
            for name, die in (("clean", None), ("1 % stuck", runtime.Die(1, **FAULTY))):
                ours.set_die(die)
                runs = [partial(session.run, None, feeds) for session in (ours, theirs)]
                turns = side_by_side(*runs, budget_s=scale.budget_s)
                ratios[f"{threads} threads, batch {batch}, {name}"] = turns.ratio()
                rows.append((name, threads, batch, turns.ms(0), turns.ms(1), turns.ratio()))
    title = f"{scale.small.name}, {scale.tokens} tokens, on {TARGET}, against ONNX Runtime's own dynamic int8"
    show(title, ("die", "threads", "batch", "session, ms", "int8, ms", "ratio"), rows)
    return {
        "session_over_ort_int8": max(ratios.values()),
        "session_over_ort_int8_by_configuration": ratios,
    }


def bench_sweep(folder: Path, scale: Scale) -> dict[str, object]:
    """Dies, each loaded and evaluated, against as many evaluations in int8, in turn: the ratio of the sums."""
    lengths, origin = sentence_lengths(scale)
    batches = [_feeds(lengths[i : i + BATCH], scale.small.vocabulary) for i in range(0, len(lengths), BATCH)]
    ours = runtime.load(folder / f"{scale.small.name}.bundle")
    theirs = int8_session(folder / f"{scale.small.name}.onnx")

    def on_die(seed: int) -> None:
        ours.set_die(runtime.Die(seed, **FAULTY))
        for feeds in batches:
            ours.run(None, feeds)

    def in_int8() -> None:
        for feeds in batches:
            theirs.run(None, feeds)

    on_die(0)
    in_int8()
    pairs = [(seconds(partial(on_die, seed)), seconds(in_int8)) for seed in range(1, scale.dies + 1)]
    ours_s, theirs_s = (sum(side) for side in zip(*pairs, strict=True))
    title = (
        f"{scale.dies} dies x {len(lengths)} sentences, {scale.small.name}, 1 % stuck, all cores; sentences: {origin}"
    )
    columns = ("", "dies, each loaded and evaluated, s", "int8 evaluations, s", "ratio")
    show(title, columns, [("sum", ours_s, theirs_s, ours_s / theirs_s)])
    return {"die_sweep_over_int8": ours_s / theirs_s, "die_sweep_s": ours_s, "die_sweep_sentences": origin}


def sentence_lengths(scale: Scale) -> tuple[np.ndarray, str]:
    """Tokens of each sentence, in order of length as an evaluation takes them, and where they are from."""
    between = np.interp(np.linspace(0, 1, scale.sentences), np.linspace(0, 1, len(SST2_TOKENS)), SST2_TOKENS)
    synthetic = np.rint(between).astype(int), "lengths of SST-2's distribution"
    if DATA_VARIABLE not in os.environ:
        return synthetic
    try:
        examples = TASKS["sst2"].load(None, scale.sentences)
    except RcompileError as error:
        return synthetic[0], f"{synthetic[1]} ({error})"
    encoder = TextEncoder(TOKENIZER, [ModelInput("input_ids", "tensor(int64)", (None, None))])
    return np.sort(encoder.lengths(examples.texts)), "lengths of SST-2's validation set"


def _feeds(lengths: np.ndarray, vocabulary: int) -> Feeds:
    """A batch of sentences of random words, padded to the longest."""
    mask = (np.arange(max(lengths)) < lengths[:, None]).astype(np.int64)
    return {"input_ids": np.random.default_rng(0).integers(0, vocabulary, mask.shape), "attention_mask": mask}
