"""The demo: compile a real, pruned BERT unprotected and protected, and score it in ONNX Runtime on clean and on faulty
crossbars.

    make demo

Needs neither torch nor transformers nor GLUE: the model and 400 labelled sentences are in this folder. With GLUE at
hand (--data DIR, or RCOMPILE_GLUE) it scores the 872 validation sentences of SST-2 instead. Writes accuracy.json,
accuracy.md, accuracy.svg, and the bundles none, paper and auto.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from accuracy import Accuracy, Scored, draw, markdown

from rcompile import CompileOptions, RcompileError, compile_model
from rcompile.cli.show import to_json
from rcompile.vocabulary import Scheme
from runtime import Die, evaluate

HERE = Path(__file__).resolve().parent
TARGET = "reram128x128-ou16"
# Chen et al. (2014) found 9.04 % SA1 and 1.75 % SA0; the demo keeps their ratio.
SA1_SHARE = 9.04 / (9.04 + 1.75)
FAULT_SHARES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
SEEDS = (1, 2, 3)
SCHEMES: tuple[Scheme, ...] = ("none", "paper", "auto")


def dies(share: float) -> list[Die]:
    """Dies on which this share of all cells is stuck."""
    return [Die(seed, sa0=share * (1 - SA1_SHARE), sa1=share * SA1_SHARE) for seed in SEEDS]


def measure(scheme: Scheme, out: Path, data: Path, limit: int | None) -> Scored:
    """Compile under a scheme, and score the bundle clean and on every die."""
    options = CompileOptions(protect=scheme)
    compiled = compile_model(HERE / "sst2-minilm.onnx", TARGET, out / scheme, options, force=True)
    assert compiled.manifest is not None
    total = compiled.manifest.total()
    chosen = [die for share in FAULT_SHARES for die in dies(share)]
    found = evaluate(out / scheme, "sst2", data=data, dies=chosen, int8=scheme == "none", limit=limit)
    scores = [die.score for die in found.dies]
    by_share = tuple(tuple(scores[i : i + len(SEEDS)]) for i in range(0, len(scores), len(SEEDS)))
    return Scored(
        total.crossbars, total.crossbars_dense, found.examples, found.source, found.int8, found.clean, by_share
    )


def main(out: Path, data: Path | None, limit: int | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    name = "SST-2" if data else "Our sentences"
    schemes = {scheme: measure(scheme, out, data or HERE, limit) for scheme in SCHEMES}
    print(f"compiled into {', '.join(str(out / scheme) for scheme in SCHEMES)}\n", flush=True)
    found = Accuracy(name, TARGET, FAULT_SHARES, schemes)
    print(markdown(found))
    (out / "accuracy.md").write_text(markdown(found))
    (out / "accuracy.json").write_text(to_json(found) + "\n")
    draw(out / "accuracy.json", out / "accuracy.svg")
    print(f"saved as {out / 'accuracy.md'}, .json and .svg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    glue = os.environ.get("RCOMPILE_GLUE")
    parser.add_argument("--data", type=Path, default=Path(glue) if glue else None, help="folder of GLUE data")
    parser.add_argument("--limit", type=int, help="sentences; all if not given")
    arguments = parser.parse_args()
    try:
        main(arguments.out, arguments.data, arguments.limit)
    except RcompileError as error:
        raise SystemExit(f"error: {error}") from None
