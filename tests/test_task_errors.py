"""What is wrong with a task file or its data is said once, clearly: all errors of a file at once, with their lines."""

from pathlib import Path

import pytest
from command_line import BAD_INPUT, USAGE, run

from rcompile.errors import BadInputError
from runtime.scoring.task_file import find_task

CLASSES = 'kind = "classification"\ndata = "d.csv"\ntext = ["text"]\nlabel = "label"\nlabels = ["no", "yes"]\nmetrics = ["accuracy_score"]\n'
TOKENS = 'kind = "tokens"\ndata = "d.csv"\nlabels = ["O", "B-A"]\n'


def load(folder: Path, toml: str, data: str = "text,label\nx,no\n") -> None:
    (folder / "t.task.toml").write_text(toml)
    (folder / "d.csv").write_text(data)
    find_task(str(folder / "t.task.toml")).load(None, None)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("accuracy_score", "acuracy_score", ":6: metrics.0.name: there is no such name: acuracy_score; did you mean accuracy_score?"),
        ('"accuracy_score"', '{ name = "accuracy_score", average = "macro" }', ":6: metrics: accuracy_score takes no average"),
        ('"yes"]\nmetrics = ["accuracy_score"]', '"yes", "maybe"]\nmetrics = ["f1_score"]', ":6: metrics: f1_score of 3 labels needs an average: { name"),
        ("[\"accuracy_score\"]", "[]", ":6: metrics: Tuple should have at least 1 item"),
        ('"classification"', '"clasification"', ":1: kind: there is no such kind: clasification; did you mean classification?"),
        ('kind = "classification"\n', "", ":1: kind: a task needs a kind"),
        ('data = "d.csv"\n', "", ":1: data: is missing"),
        ("label =", "lable =", ":4: lable: there is no such key; did you mean label?"),
        ('"no", "yes"', '"no", "no"', ":5: labels: a label is there twice"),
        ('"no", "yes"', '"no", 1.5', ":5: labels.1: Input should be a valid string (got 1.5)"),
        ('"yes"]', '"yes"]\nlabel_names = ["a", "b", "c"]', ":6: label_names: 3 names for 2 labels"),
        ("kind", "= kind", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_wrong_task_file(was: str, now: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as error:
        load(tmp_path, CLASSES.replace(was, now))
    assert said in str(error.value)
    assert "t.task.toml" in str(error.value)


def test_all_errors_come_at_once_in_order(tmp_path: Path) -> None:
    wrong = CLASSES.replace("accuracy_score", "f2").replace('"no", "yes"', '"no"') + 'max_tokens = "3"\n'
    with pytest.raises(BadInputError, match="has 3 errors") as error:
        load(tmp_path, wrong)
    lines = str(error.value).splitlines()[1:-1]
    assert [line.split(":")[1] for line in lines] == ["5", "6", "7"]


@pytest.mark.parametrize(
    ("toml", "data", "said"),
    [
        (CLASSES, "text,lable\nx,no\n", "has no column label; it has text, lable. Task t needs label"),
        (CLASSES, "text,label\n", "d.csv' holds no example"),
        (CLASSES, "", "it has no header line"),
        (CLASSES, "text,label\nx,no\ny,perhaps\n", "example 1: label perhaps; t has labels no, yes"),
        (CLASSES, 'text,label\n"x\ny",no\nz\n', "line 4: 1 columns, the header has 2"),
        (TOKENS, "words,tags\na b,O\n", "example 0: 1 tags for 2 words"),
        (TOKENS, "words,tags\na b,O B-C\n", "example 0: tag B-C; t has labels O, B-A"),
        (TOKENS, "words,tags\n,O\n", "example 0: words is [], no list of words"),
        (TOKENS.replace('"O", ', '"X", '), "", "labels: X: tags are O, B-TYPE and I-TYPE"),
        (TOKENS.replace('"O"', '"B-B"'), "", "labels: no O: tags are"),
        ('kind = "regression"\ndata = "d.csv"\ntext = ["text"]\nlabel = "label"\nmetrics = ["r2_score"]', "text,label\nx,nan\n", "example 0: label is 'nan', no number"),
        ('kind = "answers"\ndata = "d.jsonl"', "", "cannot read"),
        ('kind = "answers"\ndata = "d.txt"', "", "is none of .csv, .tsv, .jsonl, .parquet"),
    ],
)  # fmt: skip
def test_wrong_data(toml: str, data: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as error:
        load(tmp_path, toml, data)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"question": "q", "context": "c", "answers": []}', "example 0: answers are [], no text and no list of texts"),
        ('{"question": 5, "context": "c", "answers": "a"}', "example 0: question is 5, no text"),
        ('{"question": "q"', "line 1 is no JSON"),
        ("[]", "line 1 is no JSON object"),
        ("", "holds no example"),
    ],
)
def test_wrong_lines_of_json(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(line)
    with pytest.raises(BadInputError) as error:
        load(tmp_path, 'kind = "answers"\ndata = "d.jsonl"\n')
    assert said in str(error.value)


def test_the_command_line_says_it_and_stops(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(CLASSES.replace("accuracy_score", "acuracy_score"))
    wrong = run("evaluate", bundle, "--task", tmp_path / "t.toml")
    assert (wrong.exit_code, "did you mean accuracy_score?" in wrong.stderr) == (BAD_INPUT, True)
    lost = run("evaluate", bundle, "--task", tmp_path / "lost.toml")
    assert (lost.exit_code, "cannot read task file" in lost.stderr) == (BAD_INPUT, True)
    unknown = run("evaluate", bundle, "--task", "sst3")
    assert (unknown.exit_code, "did you mean sst2? Tasks: sst2, " in unknown.stderr) == (USAGE, True)
    assert "or give the path of a .toml file, or module:object" in unknown.stderr
