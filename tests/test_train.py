"""Training: pruned lines are exact zeros, and a killed run ends where an unbroken one
does.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_models import changed_target, tiny_bert, tiny_classifier, write_sentences

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from rcompile import compile_model  # noqa: E402
from rcompile.cli.main import main  # noqa: E402
from rcompile.errors import BadInputError, UnsupportedError, UsageError  # noqa: E402
from rcompile.train import run as training  # noqa: E402
from rcompile.train import trainer as trainer_module  # noqa: E402
from rcompile.train.model import find_groups  # noqa: E402
from rcompile.train.trainer import Recipe  # noqa: E402
from runtime.scoring.glue import TASKS  # noqa: E402

TARGET = changed_target("ideal128x128", crossbar={"rows": 8, "cols": 32, "active_rows": 8})
RECIPE = Recipe(keep=0.6, steps=12, batch=4, check_every=3, learning_rate=1e-3)
THROUGH_FAULTS = dataclasses.replace(RECIPE, fault_rate=0.05, voted=1)
SST2 = TASKS["sst2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sentences(tmp_path_factory.mktemp("glue"), 60)
    (folder / "sst2" / "train.tsv").write_text((folder / "sst2" / "validation.tsv").read_text())
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_bert(tmp_path_factory.mktemp("model"))
    tiny_classifier(folder / "tokenizer_donor.onnx")  # writes a tokenizer.json
    return folder


def train(model: Path, data: Path, out: Path, recipe: Recipe = RECIPE, **options: bool) -> training.Pruned:
    return training.train(str(model), SST2, data, TARGET, out, recipe, **options)


@pytest.fixture(scope="module")
def unbroken(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, training.Pruned]:
    """A run by RECIPE, and what it reports."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    return out, train(model, data, out)


@pytest.fixture(scope="module")
def unbroken_through_faults(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by THROUGH_FAULTS."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    train(model, data, out, THROUGH_FAULTS)
    return out


def test_pruned_lines_are_zero_and_the_onnx_takes_the_crossbars_promised(
    unbroken: tuple[Path, training.Pruned], tmp_path: Path
) -> None:
    out, result = unbroken
    assert result.crossbars_pruned <= 0.6 * result.crossbars_dense
    weights = transformers.BertForSequenceClassification.from_pretrained(out).state_dict()
    for layer in range(2):
        kept, size = result.kept[f"layer.{layer}.neuron"]
        up = weights[f"bert.encoder.layer.{layer}.intermediate.dense.weight"]
        down = weights[f"bert.encoder.layer.{layer}.output.dense.weight"]
        assert up.shape[0] == down.shape[1] == size == 32
        assert int((up != 0).any(dim=1).sum()) <= kept
        assert int((down != 0).any(dim=0).sum()) <= kept
    manifest = compile_model(out / "model.onnx", TARGET, tmp_path / "bundle").manifest
    assert manifest is not None
    assert manifest.total().crossbars_dense == result.crossbars_dense
    assert manifest.total().crossbars <= result.crossbars_pruned
    assert not (out / training.CHECKPOINT).exists()


@pytest.mark.parametrize("killed_at", [2, 5, 10])
def test_a_killed_run_ends_where_an_unbroken_one_does(
    model: Path,
    data: Path,
    unbroken_through_faults: Path,
    tmp_path: Path,
    killed_at: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = THROUGH_FAULTS
    step = trainer_module.Trainer._train_step

    def killed(self: trainer_module.Trainer) -> None:
        if self.step == killed_at:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(trainer_module.Trainer, "_train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(model, data, tmp_path / "broken", recipe)
    monkeypatch.undo()
    if killed_at > RECIPE.check_every:
        with pytest.raises(BadInputError, match=r"other settings \(steps\)"):
            train(model, data, tmp_path / "broken", dataclasses.replace(recipe, steps=99))
        other = changed_target("ideal128x128", crossbar={"rows": 16, "cols": 32, "active_rows": 8})
        with pytest.raises(BadInputError, match=r"other settings \(target\)"):
            training.train(str(model), SST2, data, other, tmp_path / "broken", recipe)
    train(model, data, tmp_path / "broken", recipe)
    whole, broken = (
        transformers.BertForSequenceClassification.from_pretrained(path).state_dict()
        for path in (unbroken_through_faults, tmp_path / "broken")
    )
    assert all(torch.equal(whole[k], broken[k]) for k in whole)


@pytest.mark.parametrize(
    ("at", "options", "said"),
    [
        (2, (), "nothing was left behind"),
        (5, (), "checkpoint.pt' is kept: the same command goes on from it"),
        (5, ("--force",), "goes on from it, without --force"),
    ],
)
def test_an_interrupted_run_says_what_it_leaves(
    at: int,
    options: tuple[str, ...],
    said: str,
    model: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed(self: trainer_module.Trainer) -> None:
        if self.step == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module.Trainer, "_train_step", killed)
    monkeypatch.setattr("rcompile.train.trainer.Recipe", lambda **given: dataclasses.replace(RECIPE))
    monkeypatch.setattr("rcompile.hardware.target_file.load_target", lambda name: TARGET)
    command = ["train", model, "--task", "sst2", "--data", data, "--target", "tiny", "-o", tmp_path / "out", *options]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert (result.exit_code, result.stderr.startswith("interrupted; ")) == (130, True), result.stderr
    assert said in result.stderr


@pytest.mark.parametrize("command", ["train", "prune"])
def test_what_a_killed_run_leaves_is_taken_up_by_the_next(
    command: str,
    model: Path,
    data: Path,
    unbroken: tuple[Path, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed when all is written but the last word, and with a checkpoint that is not whole."""
    samples = tmp_path / "samples.txt"
    samples.write_text("w1 w2\nw3\n" * 8)

    def again(out: Path) -> None:
        train(model, data, out) if command == "train" else training.prune(str(model), samples, TARGET, out, 0.8)

    export = training.export_model

    def killed(*arguments: object, **options: bool) -> None:
        export(*arguments, **options)
        raise KeyboardInterrupt

    out, whole = tmp_path / "out", unbroken[0] if command == "train" else tmp_path / "whole"
    monkeypatch.setattr(training, "export_model", killed)
    with pytest.raises(KeyboardInterrupt):
        again(out)
    monkeypatch.undo()
    (out / "checkpoint.writing").write_bytes(b"half")
    again(out)
    if command == "prune":
        again(whole)
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in whole.iterdir())
    assert (out / "model.onnx").read_bytes() == (whole / "model.onnx").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        again(out)


def test_force_replaces_runs_of_ours_only(model: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("all of it")
    with pytest.raises(UsageError, match="not of rcompile train or prune"):
        train(model, data, tmp_path / "precious", force=True)
    with pytest.raises(UsageError, match="itself"):
        train(model, data, model, force=True)
    assert (tmp_path / "precious" / "thesis.tex").exists()
    assert (model / "model.safetensors").exists()


def test_one_shot_pruning_refits_what_is_left(model: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples.txt"
    rng = np.random.default_rng(0)
    samples.write_text("\n".join(" ".join(f"w{w}" for w in rng.integers(0, 36, 6)) for _ in range(64)))
    result = training.prune(str(model), samples, TARGET, tmp_path / "out", 0.8)
    assert result.crossbars_pruned <= 0.8 * result.crossbars_dense
    load = transformers.BertForSequenceClassification.from_pretrained
    dense, pruned = load(model).eval(), load(tmp_path / "out").eval()
    cut = load(model).eval()
    with torch.no_grad():  # the same zeros without the refit
        for (_, c), (_, p) in zip(cut.named_parameters(), pruned.named_parameters(), strict=True):
            c *= p != 0
        ids = torch.randint(4, 40, (32, 6), generator=torch.Generator().manual_seed(1))
        hidden = [m.bert(ids).last_hidden_state for m in (dense, pruned, cut)]
    assert (hidden[1] - hidden[0]).norm() < 0.8 * (hidden[2] - hidden[0]).norm()


def test_bad_input_is_refused(model: Path, data: Path, tmp_path: Path) -> None:
    encoder, other = tmp_path / "encoder", tmp_path / "other"
    transformers.BertModel(transformers.BertConfig.from_pretrained(model)).save_pretrained(encoder)
    config = transformers.DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    transformers.DistilBertForSequenceClassification(config).save_pretrained(other)
    cases = [
        (UnsupportedError, "no encoder of BERT's shape", str(other), SST2, RECIPE),
        (BadInputError, r"no classification head .* --new-head", str(encoder), SST2, RECIPE),
        (BadInputError, "has 2 labels, the task has 3", str(model), TASKS["mnli"], RECIPE),
        (BadInputError, "no data for mrpc: .* train", str(model), TASKS["mrpc"], RECIPE),
        (BadInputError, r"budget of 1.00% .* cannot be met", str(model), SST2, dataclasses.replace(RECIPE, keep=0.01)),
        (UsageError, "--keep is 1.5", str(model), SST2, dataclasses.replace(RECIPE, keep=1.5)),
        (UsageError, "--seed is -1", str(model), SST2, dataclasses.replace(RECIPE, seed=-1)),
        (UsageError, "--fault-rate is for", str(model), SST2, dataclasses.replace(RECIPE, keep=1, fault_rate=0.1)),
        (BadInputError, "no such directory", str(tmp_path / "nothing"), SST2, RECIPE),
    ]
    for error, message, source, task, recipe in cases:
        with pytest.raises(error, match=message):
            training.train(source, task, data, TARGET, tmp_path / "out", recipe)
        assert not (tmp_path / "out").exists()
    labels = tmp_path / "labels" / "sst2"
    labels.mkdir(parents=True)
    (labels / "train.tsv").write_text("sentence\tlabel\nw1 w2\t7\n")
    with pytest.raises(BadInputError, match="example 0: label 7"):
        training.train(str(model), SST2, tmp_path / "labels", TARGET, tmp_path / "out", RECIPE)


def test_a_fresh_head_learns_the_labels(model: Path, data: Path, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    transformers.BertModel(transformers.BertConfig.from_pretrained(model)).save_pretrained(encoder)
    (encoder / "tokenizer.json").write_text((model / "tokenizer.json").read_text())
    arguments = [
        "train", str(encoder), "--task", "sst2", "--data", str(data), "--target", "reram128x128", "-o", str(tmp_path / "out"),
        "--keep", "1", "--new-head", "--steps", "4", "--threads", "1", "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "model.onnx").exists()
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "exists" in again.output


def test_every_matrix_of_a_bert_has_gates(model: Path) -> None:
    loaded = transformers.BertForSequenceClassification.from_pretrained(model)
    shapes, groups = find_groups(loaded)
    rows, cols = ({m for g in groups for m in getattr(g, lines)} for lines in ("rows_of", "cols_of"))
    assert rows == set(shapes) - {"classifier"}
    assert cols == set(shapes) - {"classifier", "bert.pooler.dense"}
