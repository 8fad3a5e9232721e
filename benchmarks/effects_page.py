"""docs/effects.md and its figure, from the lines of docs/results/effects.jsonl. Same lines, same bytes.

python benchmarks/effects_page.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from digests import data_shown
from effects_cases import CASES, Case
from effects_figure import draw
from effects_scores import CLEAN, RESAMPLES, SOURCE, Estimate, Scores

from rcompile.hardware.target_file import load_target

TEMPLATE = """\
# What each effect costs

![accuracy under each effect, at every strength](figures/effects.svg)

The demo's MiniLM-L6 (`docs/demo/sst2-minilm.onnx`), fine-tuned on SST-2 and pruned to half of its crossbars, runs unprotected on `{target}`
with one effect at a time. Scores are accuracy in points on the first {sentences} sentences of SST-2's validation set. The source model in fp32 scores
{source}, clean crossbars score {clean} (95 % intervals), an answer that is always the same {majority:.1f}.

`make effects` makes this page: `python benchmarks/effects.py --data GLUE_DIR` measures {dies} dies, or one where the effect is the same on all
(drift without spread, retention, temperature, wires); `python benchmarks/effects_page.py` writes the page and its figure.

- *score*: mean over the dies; *dies*: the least and the most of their scores.
- *change*: against clean crossbars, with its 95 % interval: a bootstrap of the differences on the same sentences that draws sentences and dies with
  replacement, {resamples:,} times, seeded. {dies} dies are few: where the effect is drawn for each die, intervals are too narrow rather than too wide.
- *collapsed*: bitlines whose reads fold into the integer product ([hardware.md](hardware.md#collapse)).
- In bold: the effect's default strength. `rcompile targets effects` says where it is from, [hardware.md](hardware.md#effects) what each effect does.

Analog effects weigh so much here because of leakage. A cell at level 0 conducts {leak:.3g} levels, so that a read is off the middle of a code by
whatever the driven rows leak, and some reads lie at an edge between two codes, where any deviation counts as a level. A wrong code of the highest
input bit and digit is worth {worth:,} of the lowest. The last table has cells that do not conduct at level 0: a deviation of less than half a level
does nothing there, and an offset, the same in every read, cancels, since the weights of the input bits add up to -1.

{tables}

## Options

`rcompile evaluate BUNDLE --task sst2 --die 1-{dies} --limit {sentences}` measures the same with these options, here at the first strength of each
effect; `--set` is for `rcompile compile`.

{options}

{data}
"""


def page(scores: Scores, data: str) -> str:
    target = load_target(scores.about["target"])
    return TEMPLATE.format(
        target=target.name,
        sentences=scores.sentences,
        source=_interval(scores.score(SOURCE)),
        clean=_interval(scores.score(CLEAN)),
        majority=scores.majority,
        dies=max(len(rows) for rows in scores.right.values()),
        resamples=RESAMPLES,
        leak=target.hrs_levels,
        worth=max(target.encoding.digits) << (target.input.bits - 1),
        tables="\n\n".join(
            f"## {group.capitalize()}\n\n{_scores_table(list(cases), scores)}"
            for group, cases in groupby(CASES, lambda case: case.group)
        ),
        options=_options_table(),
        data=data,
    )


def _scores_table(cases: Sequence[Case], scores: Scores) -> str:
    rows = [
        "| effect | strength | score | change | dies | collapsed |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for effect, strengths in groupby(cases, lambda case: case.effect):
        for i, case in enumerate(strengths):
            strength = f"**{case.strength}**" if case.default else case.strength
            each = 100 * scores.right[case.options].mean(axis=1)
            cells = (
                effect if i == 0 else "",
                strength,
                f"{scores.score(case.options).value:.1f}",
                _interval(scores.change(case.options), "+.1f"),
                f"{each.min():.1f} to {each.max():.1f}" if case.drawn else "",
                f"{100 * scores.collapsed[case.options]:.4g} %",
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _options_table() -> str:
    rows = ["| effect | strength | options |", "|---|---:|---|"]
    for (_, effect), strengths in groupby(CASES, lambda case: (case.group, case.effect)):
        case = next(strengths)
        rows.append(f"| {effect} | {case.strength} | `{case.options}` |")
    return "\n".join(rows)


def _interval(found: Estimate, form: str = ".1f") -> str:
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=Path, default=Path("docs/results/effects.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    known, data = Scores(arguments.lines), data_shown([arguments.lines])
    (arguments.out / "figures").mkdir(parents=True, exist_ok=True)
    draw(known, arguments.out / "figures" / "effects.svg", data)
    (arguments.out / "effects.md").write_text(page(known, data), encoding="utf-8")
