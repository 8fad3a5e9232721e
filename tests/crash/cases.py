"""The cases of tests/crash. Each is put before a fresh directory, and asserts what must hold there at the end."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from children import Ended, Skipped, Work, run, stop
from command_line import OK, left_behind
from small_models import changed_target, tiny_bert, tiny_classifier, write_sentences

from rcompile.cli.main import main
from rcompile.version import full_version

TARGET = "reram128x128"
DIES = 200  # most of the time of an evaluation
TRAINED_TARGET = changed_target("ideal128x128", crossbar={"rows": 8, "cols": 32, "active_rows": 8})


@dataclass
class World:
    """What all cases share: models, a bundle of each, and how long commands take. said: for what children say."""

    folder: Path
    said: Path
    usual: dict[str, Ended] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """Where a case may write."""
        return self.folder / "place"

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    def run(self, *arguments: object) -> Ended:
        return run(command(*arguments), self.said)

    def wanted(self, *arguments: object) -> Ended:
        """Run a command that must end well."""
        return self.done(command(*arguments))

    def done(self, work: Work) -> Ended:
        """Work in a child that must end well."""
        ended = run(work, self.said)
        assert ended.status == OK, ended.stderr
        return ended

    def clear(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()


Case = Callable[[World, random.Random], str]


def command(*arguments: object) -> Work:
    return lambda: main([str(a) for a in arguments], prog_name="rcompile")


def imported(*modules: str) -> None:
    """Import what children need, before they fork: they start in no time, and any user can run them."""
    for module in modules:
        importlib.import_module(module)


def compile_to(world: World, out: Path, force: bool = False, model: str = "new") -> list[object]:
    return [world.path(model, "m.onnx"), "--target", TARGET, "-o", out, "-q", *(["--force"] if force else [])]


def make_world(folder: Path) -> World:
    imported(
        "rcompile.pipeline",
        "rcompile.bundle.check",
        "runtime.scoring.evaluation",
        "rcompile.cli.show_evaluation",
        "encodings.utf_8_sig",
    )
    full_version()  # of one commit, whatever is committed meanwhile
    world = World(folder, folder)
    folder.chmod(0o755)  # another user looks
    world.path("inner").mkdir()
    for name, seed in (("old", 0), ("new", 1)):
        world.path(name).mkdir()
        tiny_classifier(world.path(name, "m.onnx"), seed=seed)
        world.usual["compile"] = world.wanted(*compile_to(world, world.path(f"{name}.bundle"), model=name))
    write_sentences(world.path("data"), 300)
    world.usual["evaluate"] = world.wanted(*evaluate(world, f"1-{DIES}"))
    world.clear()
    return world


def old_or_new(world: World, out: Path) -> str:
    """Which bundle is there; it must be whole."""
    if not out.exists():
        return "none"
    checked = world.run("check", out)
    assert checked.status == OK, f"half a bundle: {checked.stdout}{checked.stderr}"
    manifest = (out / "manifest.json").read_text()
    found = [name for name in ("old", "new") if manifest == world.path(f"{name}.bundle", "manifest.json").read_text()]
    assert found, "another bundle"
    return found[0]


def put_old(world: World, force: bool) -> Path:
    """Where a bundle shall be, with the old one there if it is to be replaced."""
    out = world.place / "b"
    if force:
        shutil.copytree(world.path("old.bundle"), out)
    return out


def stop_compile(world: World, rng: random.Random) -> str:
    """Stop a compile: new, or over an old bundle. Its user may then take the new one away before the next compile."""
    force = rng.random() < 0.5
    out = put_old(world, force)
    ended, sent = stop(command(*compile_to(world, out, force)), rng, world.usual["compile"], world.said)
    left = left_behind(world.place)
    assert ended.status < 0 or [name for name in left if not name.endswith(".lock")] == [], left
    found = old_or_new(world, out)
    aside = any(".previous-" in name for name in left)  # between two renames; the next run puts it back
    assert found == "new" or (ended.status != OK and found == ("old" if force and not aside else "none")), found
    taken = found == "new" and rng.random() < 0.3
    if taken:
        shutil.rmtree(out)
        again = world.run(*compile_to(world, out))
        assert again.status == OK or (aside and old_or_new(world, out) == "old"), again.stderr
    world.wanted(*compile_to(world, out, force or out.exists()))
    assert old_or_new(world, out) == "new"
    assert os.listdir(world.place) == ["b"], os.listdir(world.place)
    return f"{sent.name}{' --force' if force else ''}: {found}{', the old one aside' if aside else ''}"


def evaluate(world: World, dies: str, bundle: Path | None = None) -> list[object]:
    bundle, data = bundle or world.path("old.bundle"), world.path("data")
    return [
        "evaluate",
        bundle,
        "--task",
        "sst2",
        "--data",
        data,
        "--die",
        dies,
        "--sa1",
        0.05,
        "--threads",
        1,
        "--json",
    ]


def stop_evaluate(world: World, rng: random.Random) -> str:
    """Stop an evaluation: nothing is written; Ctrl-C shows the dies that are finished, and the rest can be had."""
    before = {p: p.stat().st_mtime_ns for part in ("old.bundle", "data") for p in world.path(part).rglob("*")}
    usual = world.usual["evaluate"]
    whole = json.loads(usual.stdout)
    ended, sent = stop(command(*evaluate(world, f"1-{DIES}")), rng, usual, world.said)
    assert {p: p.stat().st_mtime_ns for part in ("old.bundle", "data") for p in world.path(part).rglob("*")} == before
    shown = json.loads(ended.stdout) if ended.stdout else {}
    if ended.status < 0 or "dies" not in shown:
        return f"{sent.name}: nothing shown"
    done = len(shown["dies"])
    assert shown["dies"] == whole["dies"][:done]
    assert shown["unfinished"] == [f"seed {seed}" for seed in range(done + 1, DIES + 1)]
    if ended.status == OK:
        return f"{sent.name}: finished"
    (options,) = (line.split("go on with --die ")[1] for line in ended.stderr.splitlines() if "go on with" in line)
    rest = json.loads(world.wanted(*evaluate(world, options)).stdout)
    assert shown["dies"] + rest["dies"] == whole["dies"]
    return f"{sent.name}: some dies kept, the rest scored by the next"


def train(world: World, out: Path, force: bool) -> Work:
    def work() -> None:
        from rcompile.hardware import target_file
        from rcompile.train import trainer

        target_file.load_target = lambda name: TRAINED_TARGET
        trainer.Recipe = functools.partial(trainer.Recipe, check_every=3)
        options = ["--task", "sst2", "--data", world.path("data"), "--target", "tiny", "-o", out, "-q", "--steps", 9]
        options += ["--batch", 4, "--keep", 0.6, "--threads", 1, *(["--force"] if force else [])]
        command("train", world.path("bert"), *options)()

    return work


def export(world: World, out: Path, force: bool) -> Work:
    options = ["-o", out, "--exporter", "torchscript", *(["--force"] if force else [])]
    return command("export", world.path("bert"), *options)


def with_torch(world: World) -> None:
    """A model to train and to export, once, and what becomes of it undisturbed."""
    if importlib.util.find_spec("torch") is None:
        raise Skipped("needs the [train] extra")
    if world.path("trained").exists():
        return
    imported("onnxscript", "torch.export", "torch.onnx", "transformers.models.bert.modeling_bert", "rcompile.train.run")
    world.done(lambda: tiny_bert(world.path("bert"), num_hidden_layers=1) and None)
    shutil.copy(world.path("old", "tokenizer.json"), world.path("bert"))
    shutil.copy(world.path("data", "sst2", "validation.tsv"), world.path("data", "sst2", "train.tsv"))
    world.usual["train"] = world.done(train(world, world.path("trained"), False))
    world.usual["export"] = world.done(export(world, world.path("exported", "m.onnx"), False))


def differing(folder: Path, wanted: Path) -> list[str]:
    """Names of the files that are in one only, or differ."""
    found, sought = contents(folder), contents(wanted)
    return [name for name in sorted(found | sought) if found.get(name) != sought.get(name)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def stop_train(world: World, rng: random.Random) -> str:
    """Stop a training, new or over an old one: the same command goes on, and ends where an unbroken one does."""
    with_torch(world)
    out, force = world.place / "t", rng.random() < 0.5
    if force:
        shutil.copytree(world.path("trained"), out)
        (out / "vocab.txt").write_text("of the old one")
    ended, sent = stop(train(world, out, force), rng, world.usual["train"], world.said)
    untouched = (out / "vocab.txt").exists() and not (out / ".rcompile-unfinished").exists()
    resumable = (out / "checkpoint.pt").exists()
    found = "new" if ended.status == OK else "old" if untouched else "a checkpoint" if resumable else "none"
    if found != "new":
        world.done(train(world, out, force and not resumable))
    assert (wrong := differing(out, world.path("trained"))) == [], f"{wrong} after {sent.name}, {found}"
    assert os.listdir(world.place) == ["t"], os.listdir(world.place)
    return f"{sent.name}{' --force' if force else ''}: {found}"


def stop_export(world: World, rng: random.Random) -> str:
    """Stop an export, new or over an old file."""
    with_torch(world)
    out, force = world.place / "m.onnx", rng.random() < 0.5
    if force:
        out.write_text("old")
    ended, sent = stop(export(world, out, force), rng, world.usual["export"], world.said)
    left = left_behind(world.place)
    assert ended.status < 0 or [name for name in left if not name.endswith(".lock")] == [], left
    wanted = contents(world.path("exported"))
    found = "none" if not out.exists() else "old" if out.read_bytes() == b"old" else "new"
    assert found != "new" or {n: b for n, b in contents(world.place).items() if not n.startswith(".")} == wanted
    world.done(export(world, out, out.exists()))
    assert contents(world.place) == wanted, os.listdir(world.place)
    return f"{sent.name}{' --force' if force else ''}: {found}"
