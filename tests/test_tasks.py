"""Tasks against counts by hand and brute force; and models whose labels are in another order."""

import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import tiny_classifier, write_sentences

import runtime
from rcompile import compile_model
from rcompile.errors import BadInputError
from rcompile.onnx_in.names import LABELS
from runtime.scoring.data import read_table
from runtime.scoring.task import Examples
from runtime.scoring.task_file import find_task
from runtime.scoring.tasks.answers import Questions, normalised, word_f1
from runtime.scoring.tasks.fidelity import Fidelity
from runtime.scoring.tasks.retrieval import Retrieval
from runtime.scoring.tasks.similarity import Similarity
from runtime.scoring.tasks.tokens import Tokens, entities

TAGS = Tokens(name="t", data="", labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC"))
QUESTIONS = Questions(name="q", data="", max_answer=3)


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O B-PER I-PER O", [(1, 2, "PER")]),
        ("B-PER B-PER", [(0, 0, "PER"), (1, 1, "PER")]),
        ("O I-LOC I-LOC", [(1, 2, "LOC")]),  # begins without B
        ("B-PER I-LOC", [(0, 0, "PER"), (1, 1, "LOC")]),  # continues none of its type
        ("I-PER O I-PER", [(0, 0, "PER"), (2, 2, "PER")]),
        ("O O", []),
    ],
)
def test_entities(tags: str, found: list) -> None:
    assert entities(tags.split()) == found


def test_f1_over_entities() -> None:
    """Three in truth, two found, one of them right: the other ends too early; a sentence is cut off."""
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC"]]
    said = np.empty(2, object)
    said[:] = [("B-PER", "O", "O", "B-LOC"), ()]
    scores = TAGS.scores(Examples([["w"] * 4, ["w"]], truth, ""), said)
    assert scores == pytest.approx({"f1": 40, "precision": 50, "recall": 100 / 3})


def test_the_first_token_of_a_word_speaks_for_it() -> None:
    logits = np.eye(5)[[[1, 3, 4, 2, 1, 1]]]
    (said,) = TAGS.answers([SimpleNamespace(word_ids=[None, 0, 0, 2, 2, None])], {"logits": logits})
    assert said == ("B-LOC", "O", "I-PER")  # word 1 has no token


@given(st.data())
def test_the_best_span_is_the_best_of_all(data: st.DataObject) -> None:
    sides = data.draw(st.lists(st.sampled_from([None, 0, 1]), min_size=2, max_size=9))
    logits = st.lists(st.integers(-9, 9), min_size=len(sides), max_size=len(sides))
    start, end = (np.array([data.draw(logits)], np.float64) for _ in range(2))
    offsets = [(10 * token, 10 * token + 5) for token in range(len(sides))]
    encoding = SimpleNamespace(sequence_ids=sides, offsets=offsets)
    ((first, last),) = QUESTIONS.answers([encoding], {"start_logits": start, "end_logits": end})
    context = [token for token, side in enumerate(sides) if side == 1]
    spans = [(a, b) for i, a in enumerate(context) for b in context[i : i + 3]]
    if not spans:
        assert (first, last) == (0, 0)
        return
    best = max(start[0, a] + end[0, b] for a, b in spans)
    a, b = first // 10, last // 10
    assert (a, b) in spans
    assert start[0, a] + end[0, b] == best


def test_a_span_of_more_than_max_answer_is_none() -> None:
    encoding = SimpleNamespace(sequence_ids=[1] * 4, offsets=[(0, 1), (2, 3), (4, 5), (6, 7)])
    start, end = np.array([[9.0, 0, 0, 0]]), np.array([[0, 0, 1.0, 9]])
    whole = QUESTIONS.model_copy(update={"max_answer": 4})
    for task, span in ((QUESTIONS, [0, 5]), (whole, [0, 7])):
        assert task.answers([encoding], {"start": start, "end": end}).tolist() == [span]


def test_answers_are_compared_as_squad_does() -> None:
    assert normalised("The  Eiffel-Tower, a tower!") == "eiffeltower tower"
    assert word_f1("in new york", "new york city") == pytest.approx(2 / 3)
    examples = Examples([("?", "It is in the old town.")], [["Old Town", "town hall"]], "")
    assert QUESTIONS.scores(examples, np.array([[9, 21]])) == {"exact_match": 100, "f1": 100}
    assert QUESTIONS.scores(examples, np.array([[6, 21]])) == pytest.approx({"exact_match": 0, "f1": 80})


@given(st.integers(1, 4), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_embeddings_are_averaged_over_tokens_that_count(texts: int, tokens: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths, values = rng.integers(1, tokens + 1, texts), rng.normal(size=(texts, tokens, 3))
    encodings = [SimpleNamespace(attention_mask=[1] * n + [0] * (tokens - n)) for n in lengths]
    task = Similarity(name="s", data="", text=("a", "b"), label="l")
    expected = [row[:n].mean(axis=0) for row, n in zip(values, lengths, strict=True)]
    np.testing.assert_allclose(task.answers(encodings, {"last_hidden_state": values}), expected)
    np.testing.assert_array_equal(task.answers(encodings, {"sentence_embedding": values[:, 0]}), values[:, 0])


def test_similarity_ranks_cosines_and_not_lengths() -> None:
    first, second = np.array([[1.0, 0], [2, 0], [3, 0]]), np.array([[0.9, 0.1], [2, 4], [1, 9]])
    task = Similarity(name="s", data="", text=("a", "b"), label="l")
    scores = task.scores(Examples([""] * 6, np.array([5.0, 3.0, 1.0]), ""), np.concatenate([first, second]))
    assert scores == pytest.approx({"spearman": 100})


def test_retrieval_by_hand() -> None:
    """One query finds its text second, the other one of its two first; k = 2."""
    task = Retrieval(name="r", data="", k=2)
    vectors = np.array([[1.0, 0], [0, 1], [2, 0.1], [3, 1], [-1, 2], [0, 3]])
    scores = task.scores(Examples([""] * 6, [frozenset({1}), frozenset({3, 0})], ""), vectors)
    second = 1 / np.log2(3)
    assert scores == pytest.approx({"recall@2": 75, "nDCG@2": 50 * (second + 1 / (1 + second))})


def test_queries_are_limited_and_the_corpus_is_not(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("query,positive\na,x\nb,y\na,z\nc,x\n")
    (tmp_path / "r.toml").write_text('kind = "retrieval"\ndata = "d.csv"')
    examples = find_task(str(tmp_path / "r.toml")).load(None, 2)
    assert (examples.texts, examples.labels) == (["a", "b", "x", "y", "z"], [{0, 2}, {1}])


def test_fidelity_in_closed_form() -> None:
    source, said = np.log([[0.5, 0.5], [0.9, 0.1]]), np.log([[0.25, 0.75], [0.9, 0.1]])
    scores = Fidelity(name="f", data="", text=("t",)).scores(Examples(["", ""], source, ""), said)
    assert scores["kl_nats"] == pytest.approx(0.5 * (0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75)))
    assert scores["agreement"] == 50
    cosine = (source * said).sum() / np.sqrt((source**2).sum() * (said**2).sum())
    assert scores["cosine"] == pytest.approx(100 * cosine)


def test_fidelity_of_one_logit_wants_a_cosine(tmp_path: Path) -> None:
    compile_model(tiny_classifier(tmp_path / "m.onnx", labels=1), "reram128x128", tmp_path / "b")
    (tmp_path / "d.csv").write_text("t\nw1 w2\nw3\n")
    task = Fidelity(name="f", data=str(tmp_path / "d.csv"), text=("t",))
    with pytest.raises(BadInputError, match='write score = "cosine" in task f'):
        runtime.evaluate(tmp_path / "b", task)
    cosine = runtime.evaluate(tmp_path / "b", task.model_copy(update={"score": "cosine"}))
    assert (cosine.metric, set(cosine.metrics["clean"])) == ("cosine", {"cosine"})


ORDERS = [
    (["NEGATIVE", "POSITIVE"], False),
    (["POSITIVE", "NEGATIVE"], True),
    (["positive", "negative"], True),
    (["good", "bad"], False),  # nobody knows what they mean
    ("positive", False),  # no list: written by another hand
]


@pytest.mark.parametrize(("labels", "refused"), ORDERS)
def test_labels_in_another_order(labels: object, refused: bool, tmp_path: Path) -> None:
    model = onnx.load(tiny_classifier(tmp_path / "m.onnx"))
    onnx.helper.set_model_props(model, {LABELS: json.dumps(labels), "path": "/home/me"})
    onnx.save(model, tmp_path / "m.onnx")
    compile_model(tmp_path / "m.onnx", "reram128x128", tmp_path / "b")
    assert [p.key for p in onnx.load(tmp_path / "b" / "model.onnx", load_external_data=False).metadata_props] == [
        LABELS
    ]
    data = write_sentences(tmp_path / "glue")
    if not refused:
        runtime.evaluate(tmp_path / "b", "sst2", data=data, limit=2)
        return
    both = f"the model's labels are {', '.join(labels)}, in this order; task sst2 has negative, positive"
    with pytest.raises(BadInputError, match=both):
        runtime.evaluate(tmp_path / "b", "sst2", data=data)


def test_the_hub_names_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers are in an order of its own."""

    class Split(dict):
        column_names = ("tags", "label", "idx")
        features: ClassVar = {
            "tags": SimpleNamespace(feature=SimpleNamespace(names=["O", "B-PER"])),
            "label": SimpleNamespace(names=["no", "yes"]),
            "idx": SimpleNamespace(dtype="int64"),
        }

    asked = []

    def load_dataset(*where: str, split: str) -> Split:
        asked.append((*where, split))
        return Split(tags=[[0, 1], [0]], label=[1, -1], idx=[0, 1])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for where in ("hub:me/mine:test", "hub:me/mine/en:test", "hub:mine:test"):
        table = read_table("t", where, None, None)
    assert asked == [("me/mine", "test"), ("me/mine", "en", "test"), ("mine", "test")]
    assert table.columns == {"tags": [["O", "B-PER"], ["O"]], "label": ["yes", -1], "idx": [0, 1]}


def test_files_of_every_form_hold_the_same(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    rows = [{"text": "one, two", "label": 1}, {"text": "three", "label": 0}]
    (tmp_path / "d.csv").write_text('text,label\n"one, two",1\nthree,0\n')
    (tmp_path / "d.tsv").write_text("text\tlabel\none, two\t1\nthree\t0\n")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    keys = 'kind = "classification"\ntext = ["text"]\nlabel = "label"\nlabels = [0, 1]\nmetrics = ["accuracy_score"]\n'
    found = []
    for form in ("csv", "tsv", "jsonl", "parquet"):
        (tmp_path / "t.toml").write_text(f'{keys}data = "d.{form}"\n')
        examples = find_task(str(tmp_path / "t.toml")).load(None, None)
        found.append((list(examples.texts), examples.labels.tolist(), examples.label_names))
    assert all(a == b for a, b in itertools.pairwise(found))
    assert found[0] == (["one, two", "three"], [1, 0], ())
