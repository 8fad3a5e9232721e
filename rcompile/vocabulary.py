"""The words that users choose among, each written once: types, choices of the command line, messages and the provider's
options.
"""

from __future__ import annotations

from typing import Literal, get_args

EncodingName = Literal["offset", "differential"]
InputCoding = Literal["twos_complement", "sign_magnitude", "offset"]
InputScale = Literal["dynamic", "static"]
VotingCombiner = Literal["cell", "select", "subset", "median", "mean"]
Combiner = Literal["none", VotingCombiner]
Periphery = Literal["readback", "self_test", "sorter", "adder"]
Scheme = Literal["none", "paper", "auto", "die"]
Stage = Literal["read", "find", "quantize", "compact", "protect", "tile", "encode", "emit"]
TaskName = Literal["sst2", "cola", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
ShippedTask = Literal[TaskName, "demo"]
EffectName = Literal[
    "endurance", "stuck_between", "clusters", "lines", "variation", "write_verify", "drift", "retention", "temperature", "wires",
    "read_noise", "adc_error", "soft_errors",
]  # fmt: skip
Exporter = Literal["dynamo", "torchscript"]
ImageFormat = Literal["npz"]

# What a combiner needs of the periphery; in the order of the combiners.
COMBINER_NEEDS: dict[VotingCombiner, frozenset[Periphery]] = {
    "cell": frozenset({"readback"}),
    "select": frozenset({"self_test"}),
    "subset": frozenset({"self_test", "adder"}),
    "median": frozenset({"sorter"}),
    "mean": frozenset({"adder"}),
}


def words(of: object) -> tuple[str, ...]:
    """The words of one of these types, in their order."""
    return get_args(of)
