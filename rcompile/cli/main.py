"""The command line. No logic: each command calls one function and prints what it returns."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from rcompile.cli.arguments import MODEL, PATH, TARGET, complete_key
from rcompile.cli.bundles import check, diff, inspect
from rcompile.cli.campaign import campaign
from rcompile.cli.commands import Commands
from rcompile.cli.die import die
from rcompile.cli.evaluate import evaluate
from rcompile.cli.images import images
from rcompile.cli.report import report
from rcompile.cli.targets import targets
from rcompile.cli.terminal import JSON, QUIET, force_option, progress_bar, stdout_console
from rcompile.cli.train import prune, train
from rcompile.vocabulary import Exporter, Scheme, Stage, VotingCombiner, words


def _print_version(ctx: click.Context, param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from rcompile.version import full_version  # asks git in a checkout

        click.echo(f"rcompile {full_version()}")
        ctx.exit()


# \b: click keeps the lines as they are.
EPILOG = """
\b
Exit codes:
  0    ok
  1    `check` or `diff` found something, or a limit of `evaluate` is not passed
  2    usage: an option or a name (target, task, layer, ...) that there is not
  3    bad input: a file that cannot be used
  4    unsupported: sound, but not for this tool or this target
  70   a bug in rcompile
  130  interrupted

With --json stdout is one JSON document, also of an error:
{"error": {"kind": ..., "message": ..., "exit_code": ...}}, where the kind is usage, bad_input, unsupported, internal or interrupted.
"""


@click.group(
    cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and the commit that it was built from.",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error; goes anywhere.")
def main() -> None:
    """Compile BERT-family ONNX models for ReRAM crossbars, and verify them under stuck-at faults.

    \b
    rcompile bert.onnx --target reram128x128     compile: writes bert.bundle/
    rcompile evaluate bert.bundle --task sst2    score it in ONNX Runtime
    rcompile help evaluate                       every command has --help
    """  # noqa: D301
    # A pipe that closes early (`| head`) is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "--target",
    required=True,
    type=TARGET,
    help="Target name (`rcompile targets list`), or a TOML file.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_key,
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
    help="Static input scales from samples: text, a sentence or two parted by a tab a line, or .npz.  [default: dynamic scales]",
)
@click.option("--only", multiple=True, metavar="GLOB", help="Map the layers whose name matches alone. Repeatable.")
@click.option(
    "--keep-on-host", multiple=True, metavar="GLOB", help="Leave layers whose name matches on the CPU. Repeatable."
)
@click.option(
    "--no-source",
    "keep_source",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Leave the source model out of the bundle; `evaluate` then has no fp32 score.",
)
@click.option(
    "--protect",
    type=click.Choice(words(Scheme)),
    help="Spend freed crossbars on replicas: the published recipe, or the allocation of least predicted error; or, for one die, on redundant digits.  [default: die with --die-map, if the target has digit_shifts, else none]",
)
@click.option(
    "--combiner",
    type=click.Choice(words(VotingCombiner)),
    help="How replicas are combined.  [default: of those that the target has, the best predicted]",
)
@click.option(
    "--sa0",
    type=float,
    metavar="RATE",
    help="SA0 rate to protect against.  [default for auto: as many stuck cells as can be carried]",
)
@click.option("--sa1", type=float, metavar="RATE", help="SA1 rate to protect against, as --sa0.")
@click.option("--allow-extra-crossbars", is_flag=True, help="Let protection take more crossbars than the dense model.")
@click.option(
    "--die-map",
    type=PATH,
    metavar="MAP",
    help="Make the images for one chip, whose stuck cells are known: .npz (`rcompile die`), .safetensors or HDF5.  [default: the same for every chip]",
)
@click.option(
    "--compensate",
    type=PATH,
    metavar="FILE",
    help="With --die-map: let the weights of an output make up for each other's errors on samples, given as for --calibrate.  [default: each weight the nearest that its cells hold]",
)
@click.option("--pack-cells", is_flag=True, help="Store several cells in a byte.  [default: one byte a cell]")
@force_option("bundle")
@click.option("--dry-run", is_flag=True, help="Run every stage but emit; write nothing.")
@click.option("--stop-after", type=click.Choice(words(Stage)), help="Stop after this stage; only emit writes.")
@JSON
@click.option("-v", "--verbose", is_flag=True, help="List every layer, and what stays on the host.")
@QUIET
def compile(
    model: Path,
    target: str,
    changes: tuple[str, ...],
    out: Path | None,
    samples: Path | None,
    die_map: Path | None,
    compensate: Path | None,
    force: bool,
    dry_run: bool,
    stop_after: Any,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **asked: Any,
) -> None:
    """Compile MODEL (ONNX) into a bundle of conductance images."""
    from rcompile.cli import show
    from rcompile.hardware.target_file import load_target
    from rcompile.options import CompileOptions
    from rcompile.pipeline import compile_model, rehearse

    if dry_run and stop_after:
        raise click.UsageError("--dry-run is --stop-after encode: give one of them.")
    options = CompileOptions(**asked)
    hardware = load_target(target, changes)
    with progress_bar(quiet) as progress:
        if dry_run or stop_after not in (None, "emit"):
            stage: Any = stop_after or "encode"
            result = rehearse(model, hardware, options, samples=samples, die_map=die_map, compensate=compensate, stop_after=stage, progress=progress)  # fmt: skip
        else:
            result = compile_model(model, hardware, out, options, samples=samples, die_map=die_map, compensate=compensate, force=force, progress=progress)  # fmt: skip
    if as_json:
        click.echo(show.to_json(show.compiled_summary(result)))
    elif not quiet:
        show.print_compiled(result, stdout_console(), every_layer=verbose or result.bundle is None)


@click.command()
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
    type=click.Choice(words(Exporter)),
    default="dynamo",
    show_default=True,
    help="Which exporter of torch.onnx to use.",
)
@force_option("file")
def export(source: str, out: Path, exporter: Any, force: bool) -> None:
    """Export a Hugging Face model to ONNX.

    DIR is what `save_pretrained` wrote, NAME a model on the hub or in its cache. The heads of sequence and token
    classification, question answering and masked words are kept; an encoder without a head gives its last hidden state.
    """
    from rcompile.train.export import export_model

    export_model(source, out, exporter=exporter, force=force)


@click.command("help")
@click.argument("command", nargs=-1)
@click.pass_context
def show_help(ctx: click.Context, command: tuple[str, ...]) -> None:
    """Show this page, or that of COMMAND."""
    main([*command, "--help"], prog_name=ctx.find_root().info_name)


for command in (
    compile, evaluate, campaign, report, inspect, check, diff, images, die, export, train, prune, targets, show_help,
):  # fmt: skip
    main.add_command(command)
