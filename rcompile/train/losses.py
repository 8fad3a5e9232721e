"""What training minimises."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from torch import Tensor

HIDDEN_WEIGHT = 2.0


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy; squared error for a regression. logits: [batch, labels]; labels: i64 or f32 [batch]."""
    if logits.shape[1] == 1:
        return F.mse_loss(logits[:, 0], labels)
    return F.cross_entropy(logits, labels)


def distillation_loss(student: Any, teacher: Any, mask: Tensor) -> Tensor:
    """How far a student is from its teacher: Kullback-Leibler divergence of the classes (squared error of a
    regression), and the relative squared error of the hidden states of every layer, over real tokens (as TinyBERT, Jiao
    et al. 2020, does).
    """
    if student.logits.shape[1] == 1:
        head = F.mse_loss(student.logits, teacher.logits)
    else:
        goal = F.log_softmax(teacher.logits, dim=1)
        head = F.kl_div(F.log_softmax(student.logits, dim=1), goal, log_target=True, reduction="batchmean")
    real = mask.bool()
    layers = [
        (s[real] - t[real]).square().sum() / t[real].square().sum()
        for s, t in zip(student.hidden_states[1:], teacher.hidden_states[1:], strict=True)
    ]
    return head + HIDDEN_WEIGHT * torch.stack(layers).mean()
