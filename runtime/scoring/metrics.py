"""Metrics by the names that scikit-learn and scipy give them, and the short ones that reports use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rcompile.errors import BadInputError

Values = npt.NDArray[Any]
Average = Literal["macro", "micro", "weighted"]
Averaged = Literal["f1_score", "precision_score", "recall_score", "jaccard_score"]
ClassMetricName = Literal[
    "accuracy_score", "balanced_accuracy_score", "matthews_corrcoef", "cohen_kappa_score", Averaged,
]  # fmt: skip
ValueMetricName = Literal["pearson", "spearman", "r2_score"]


class Metric(BaseModel):
    """One metric. average: over the classes, for those that are of one class; without it, of the second of two."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str

    @property
    def options(self) -> dict[str, str]:
        """What scikit-learn is told beside the predictions."""
        return {}

    @property
    def title(self) -> str:
        """As a report calls it: f1, macro f1, matthews."""
        return " ".join([*self.options.values(), self.name.removesuffix("_score").removesuffix("_corrcoef")])

    def function(self) -> Callable[..., float]:
        """From truth and predictions to at most 1. Raises BadInputError if its package is missing."""
        if self.name in OWN:
            return OWN[self.name]
        try:
            import sklearn.metrics
        except ImportError:
            raise BadInputError(f"metric {self.name} needs scikit-learn: pip install 'rcompile[glue]'.") from None
        function: Callable[..., float] = getattr(sklearn.metrics, self.name)
        return function


class ClassMetric(Metric):
    """A metric of classes."""

    name: ClassMetricName
    average: Average | None = None

    @property
    def options(self) -> dict[str, str]:
        """The average."""
        return {} if self.average is None else {"average": self.average}

    def problem(self, labels: int) -> str | None:
        """Why it cannot be taken of that many classes."""
        averaged = self.name in get_args(Averaged)
        if averaged and self.average is None and labels > 2:
            return f'{self.name} of {labels} labels needs an average: {{ name = "{self.name}", average = "macro" }}'
        if self.average is not None and not averaged:
            return f"{self.name} takes no average"
        return None


class ValueMetric(Metric):
    """A metric of values."""

    name: ValueMetricName


def _named(given: object) -> object:
    return {"name": given} if isinstance(given, str) else given


ClassMetrics = Annotated[tuple[Annotated[ClassMetric, BeforeValidator(_named)], ...], Field(strict=False, min_length=1)]
ValueMetrics = Annotated[tuple[Annotated[ValueMetric, BeforeValidator(_named)], ...], Field(strict=False, min_length=1)]


def score_name(metrics: Sequence[Metric]) -> str:
    """The name of their mean."""
    return metrics[0].title if len(metrics) == 1 else f"mean of {' and '.join(m.title for m in metrics)}"


def accuracy(truth: Values, predicted: Values) -> float:
    """Share of right predictions."""
    return float((truth == predicted).mean())


def pearson(truth: Values, predicted: Values) -> float:
    """Pearson correlation; 0 for constant values, where it is undefined."""
    from scipy.stats import pearsonr

    return 0.0 if _constant(truth, predicted) else float(pearsonr(truth, predicted).statistic)


def spearman(truth: Values, predicted: Values) -> float:
    """Spearman rank correlation; 0 for constant values, where it is undefined."""
    from scipy.stats import spearmanr

    return 0.0 if _constant(truth, predicted) else float(spearmanr(truth, predicted).statistic)


def _constant(truth: Values, predicted: Values) -> bool:
    return bool(np.ptp(truth) == 0 or np.ptp(predicted) == 0)


OWN: dict[str, Callable[..., float]] = {"accuracy_score": accuracy, "pearson": pearson, "spearman": spearman}
