"""The command line. No logic: each command calls one function and prints what it returns."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from rcompile.cli.evaluate import evaluate
from rcompile.cli.targets import targets
from rcompile.cli.terminal import FAILED, JSON, PATH, QUIET, Commands, force_option, progress_bar, stdout_console
from rcompile.cli.train import prune, train
from rcompile.version import full_version


@click.group(
    cls=Commands,
    default="compile",
    default_if_no_args=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(full_version(), prog_name="rcompile")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """Compile BERT-family ONNX models for ReRAM crossbars, and verify them under stuck-at faults.

    \b
    rcompile bert.onnx --target reram128x128        compile (short for `rcompile compile ...`)
    rcompile evaluate bert.bundle --task sst2       score it in ONNX Runtime
    \b
    Exit codes: 0 ok, 1 a check failed, 2 usage, 3 bad input, 4 unsupported.
    """  # noqa: D301
    # A pipe that closes early (`| head`) is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


@main.command()
@click.argument("model", type=PATH)
@click.option(
    "--target", required=True, metavar="NAME|FILE", help="Target name (`rcompile targets list`), or a TOML file."
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the target: adc.bits=7, crossbar.active_rows=16, ... (`rcompile targets show`). Repeatable.",
)
@click.option(
    "-o",
    "--output",
    "out",
    type=PATH,
    metavar="DIR",
    help="Bundle to write.  [default: MODEL.bundle in this directory]",
)
@click.option(
    "--calibrate",
    "samples",
    type=PATH,
    metavar="FILE",
    help="Static input scales from samples: text, a sentence a line, or .npz.  [default: dynamic scales]",
)
@click.option(
    "--keep-on-host", multiple=True, metavar="GLOB", help="Leave layers whose name matches on the CPU. Repeatable."
)
@click.option(
    "--no-source", is_flag=True, help="Leave the source model out of the bundle; `evaluate` then has no fp32 score."
)
@click.option(
    "--protect",
    type=click.Choice(["none", "paper", "auto"]),
    default="none",
    show_default=True,
    help="Spend freed crossbars on replicas: the published recipe, or the allocation of least predicted error.",
)
@click.option(
    "--combiner",
    type=click.Choice(["cell", "median", "mean", "select"]),
    help="How replicas are combined.  [default: of those that the target has, the best predicted]",
)
@click.option("--sa0", type=float, metavar="RATE", help="SA0 rate to protect against.  [default: the target's]")
@click.option("--sa1", type=float, metavar="RATE", help="SA1 rate to protect against.  [default: the target's]")
@click.option("--allow-extra-crossbars", is_flag=True, help="Let protection take more crossbars than the dense model.")
@click.option("--pack-cells", is_flag=True, help="Store several cells in a byte.  [default: one byte a cell]")
@force_option("bundle")
@click.option("--dry-run", is_flag=True, help="Run every stage but emit; write nothing.")
@click.option(
    "--stop-after",
    metavar="STAGE",
    type=click.Choice(["read", "find", "quantize", "compact", "protect", "tile", "encode", "emit"]),
    help="Stop after read, find, quantize, compact, protect, tile, encode or emit; only emit writes.",
)
@JSON
@click.option("-v", "--verbose", is_flag=True, help="List every layer, and what stays on the host.")
@QUIET
def compile(
    model: Path,
    target: str,
    changes: tuple[str, ...],
    out: Path | None,
    samples: Path | None,
    keep_on_host: tuple[str, ...],
    no_source: bool,
    protect: Any,
    combiner: Any,
    sa0: float | None,
    sa1: float | None,
    allow_extra_crossbars: bool,
    pack_cells: bool,
    force: bool,
    dry_run: bool,
    stop_after: Any,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Compile MODEL (ONNX) into a bundle of conductance images."""
    from rcompile.cli import show
    from rcompile.hardware.target_file import load_target
    from rcompile.pipeline import compile_model
    from rcompile.protection.protect import Guard

    if dry_run and stop_after:
        raise click.UsageError("--dry-run is --stop-after encode: give one of them.")
    with progress_bar(quiet) as progress:
        stop: Any = stop_after or ("encode" if dry_run else "emit")
        result = compile_model(
            model,
            load_target(target, changes),
            out,
            calibrate_with=samples,
            keep_on_host=keep_on_host,
            keep_source=not no_source,
            guard=Guard(protect, combiner, sa0, sa1, allow_extra_crossbars),
            pack_cells=pack_cells,
            force=force,
            stop_after=stop,
            progress=progress,
        )
    if as_json:
        click.echo(show.to_json(show.compiled_summary(result)))
    elif not quiet:
        show.print_compiled(result, stdout_console(), every_layer=verbose or result.bundle is None)


@main.command()
@click.argument("bundle", type=PATH)
@click.option("--tile", metavar="LAYER:T", help="One tile: its lines, levels and conductances.")
@JSON
def inspect(bundle: Path, tile: str | None, as_json: bool) -> None:
    """Show what BUNDLE holds, layer by layer or one tile."""
    from rcompile.bundle.reader import Bundle
    from rcompile.cli import show

    opened = Bundle.open(bundle)
    if tile is None and as_json:
        click.echo(show.to_json(show.bundle_summary(opened)))
    elif tile is None:
        show.print_bundle(opened, stdout_console())
    elif as_json:
        click.echo(show.to_json(show.tile_summary(*opened.tile(tile), opened.manifest.target)))
    else:
        show.print_tile(*opened.tile(tile), opened.manifest.target, stdout_console())


@main.command()
@click.argument("bundle", type=PATH)
@JSON
def check(bundle: Path, as_json: bool) -> None:
    """Check BUNDLE: schema, digests, and that its images decode to the quantized weights."""
    from rcompile.bundle.reader import Bundle
    from rcompile.cli import show

    checks = [{"what": what, "problems": problems} for what, problems in Bundle.open(bundle).check()]
    problems = [f"{c['what']}: {p}" for c in checks for p in c["problems"]]
    if as_json:
        click.echo(show.to_json({"ok": not problems, "checks": checks}))
    else:
        click.echo("\n".join(problems) if problems else f"{bundle}: {len(checks)} checks, all good")
    sys.exit(FAILED if problems else 0)


@main.command()
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@JSON
def diff(a: Path, b: Path, as_json: bool) -> None:
    """Compare bundles A and B: the cells that change, tile by tile. Exit code 1 if any does."""
    from rcompile.bundle.reader import Bundle
    from rcompile.bundle.reader import diff as compare
    from rcompile.cli import show

    found = compare(Bundle.open(a), Bundle.open(b))
    if as_json:
        click.echo(show.to_json({"same": found.same, **vars(found)}))
    else:
        show.print_difference(found, stdout_console())
    sys.exit(0 if found.same else FAILED)


@main.command()
@click.argument("source", metavar="DIR|NAME")
@click.option(
    "-o",
    "--output",
    "out",
    type=PATH,
    required=True,
    metavar="FILE",
    help="ONNX file to write; tokenizer.json is put beside it.",
)
@click.option(
    "--exporter",
    type=click.Choice(["dynamo", "torchscript"]),
    default="dynamo",
    show_default=True,
    help="Which exporter of torch.onnx to use.",
)
@force_option("file")
def export(source: str, out: Path, exporter: Any, force: bool) -> None:
    """Export a Hugging Face model (a directory, or a name on the hub) to ONNX."""
    from rcompile.train.export import export_model

    export_model(source, out, exporter=exporter, force=force)


main.add_command(evaluate)
main.add_command(train)
main.add_command(prune)
main.add_command(targets)
