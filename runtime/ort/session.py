"""Sessions: a bundle in ONNX Runtime, its linears on emulated crossbars."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime as ort
from onnx import GraphProto, ModelProto, OperatorSetIdProto
from onnxruntime.capi.onnxruntime_pybind11_state import InferenceSession

from rcompile.bundle.host_check import graph_problems
from rcompile.bundle.host_graph import HOST_DATA
from rcompile.bundle.manifest import MODEL
from rcompile.bundle.reader import Bundle, DamagedError
from rcompile.errors import BadInputError, RcompileError, UsageError
from rcompile.vocabulary import Combiner
from runtime.die.any_die import AnyDie
from runtime.ort.library import device, native
from runtime.ort.soft_errors import NumberErrors, flipped_numbers, number_errors

_tokens = itertools.count(1)
MAX_THREADS = 1024
NO_MODEL = ModelProto(
    ir_version=8, graph=GraphProto(), opset_import=[OperatorSetIdProto(version=17)]
).SerializeToString()
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class LayerReport:
    """What a die did to one layer: its bitlines, those that collapse into the integer product, all cells, and the stuck
    ones: at level 0 (sa0), at the top level (sa1), and between.

    A vote group counts as one bitline, whatever the number of its replicas.
    """

    layer: str
    tiles: int
    bitlines: int
    collapsed: int
    cells: int
    sa0: int
    sa1: int
    between: int


@dataclass(frozen=True)
class _Mapped:
    """A file as it was when it was mapped; one that takes its place leaves the mapping alone."""

    path: Path
    inode: int
    state: tuple[int, int]

    @staticmethod
    def of(path: Path) -> _Mapped | None:
        """The file as it is; None if there is none."""
        try:
            found = path.stat()
        except OSError:
            return None
        return _Mapped(path, found.st_ino, (found.st_size, found.st_mtime_ns))

    def was_written_to(self) -> bool:
        """Whether it is the same file with another content."""
        now = _Mapped.of(self.path)
        return now is not None and now.inode == self.inode and now.state != self.state


class CrossbarSession(ort.InferenceSession):
    """An onnxruntime.InferenceSession of a bundle, with a die and a combiner that can change while it lives."""

    def __init__(self, bundle: Bundle, options: ort.SessionOptions, provider_options: Mapping[str, str]) -> None:
        """Use `load`."""
        self.bundle = bundle
        self._token = str(next(_tokens))
        options.add_provider_for_devices([device()], {**provider_options, "token": self._token})
        # With fallback, onnxruntime would answer a bad provider option with a session on the CPU provider alone.
        super().__init__(str(bundle.path(MODEL)), options, enable_fallback=False)
        self._constants = _Mapped.of(bundle.folder / HOST_DATA)
        self._wanted = {i.name: i for i in self.get_inputs()}
        self.die: AnyDie | None = None
        self._numbers: NumberErrors | None = None
        self.combiner: Combiner | None = None

    def set_die(self, die: AnyDie | None) -> None:
        """Put another die under the live session; None is a die without faults. Waits for the runs that are under way:
        each belongs to the die that it started with.

        Raises UsageError for a die with other soft errors in embeddings or biases: see `accepts`.
        """
        if not self.accepts(die):
            raise UsageError(
                "soft errors in embeddings and biases are put in when a session is loaded: runtime.load(bundle, die)."
            )
        self._change(die_options(die, self.bundle))
        self.die = die

    def accepts(self, die: AnyDie | None) -> bool:
        """Whether `set_die` takes this die: soft errors in embeddings and biases are fixed when a session is loaded."""
        return number_errors(die) == self._numbers

    def set_combiner(self, combiner: Combiner | None) -> None:
        """Combine replicas otherwise than the bundle was compiled for; None: as compiled. Runs in flight finish as they
        started.

        docs/hardware.md defines the combiners. Raises UsageError for any other name.
        """
        self._change(combiner_options(combiner))
        self.combiner = combiner

    def _change(self, options: dict[str, str]) -> None:
        try:
            self.set_ep_dynamic_options(options)
        except Exception as error:  # onnxruntime raises one class a status code
            raise BadInputError(f"the session refuses the die, and keeps the one it has: {error}") from None

    def report(self) -> tuple[LayerReport, ...]:
        """What the present die does to each layer. Raises RcompileError if there is no memory to say it."""
        text = native().RcompileReport(self._token.encode())
        if text is None:
            raise RcompileError("the session has no report: its provider is gone, or there is not enough memory.")
        return tuple(LayerReport(**row) for row in json.loads(text))

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: ort.RunOptions | None = None,
    ) -> Any:
        """As onnxruntime's, but a wrong input raises BadInputError that says what to give instead, and so does a bundle
        whose constants, which ONNX Runtime maps, were written to since it was loaded; images and biases are copies.
        """
        self._check(input_feed)
        if self._constants is not None and self._constants.was_written_to():
            raise BadInputError(
                f"'{self._constants.path}' was written to under a live session. Load the bundle again; to replace a bundle, compile with --force, or move a new one into its place."
            )
        return super().run(output_names, input_feed, run_options)

    def _check(self, feed: Mapping[str, Any]) -> None:
        wanted = self._wanted
        for name in [n for n in wanted if n not in feed] + [n for n in feed if n not in wanted]:
            what = "is missing" if name in wanted else "is not an input of the model"
            raise BadInputError(f"input '{name}' {what}. The model takes {', '.join(wanted)}.")
        for name, info in wanted.items():
            value = feed[name]
            if not isinstance(value, np.ndarray):
                continue
            # A shape that the model does not declare reads as empty.
            if info.shape and (
                len(info.shape) != value.ndim
                or any(isinstance(d, int) and d != n for d, n in zip(info.shape, value.shape, strict=True))
            ):
                raise BadInputError(
                    f"input '{name}' has shape {list(value.shape)}; the model takes {list(info.shape)}."
                )
            dtype = DTYPES.get(info.type)
            if dtype is not None and value.dtype != dtype:
                raise BadInputError(
                    f"input '{name}' is {value.dtype}; the model takes {np.dtype(dtype)}. Convert it: x.astype(np.{np.dtype(dtype)})."
                )


def die_options(die: AnyDie | None, bundle: Bundle) -> dict[str, str]:
    """The provider's live options for a die; None is a clean one."""
    return {"rcompile.die": "clean"} if die is None else die.options(bundle.manifest.target)


def combiner_options(combiner: Combiner | None) -> dict[str, str]:
    """The execution provider's live option for a combiner (docs/runtime.md). Raises UsageError for a name that is
    none.
    """
    if combiner is not None and combiner not in get_args(Combiner):
        raise UsageError(f"there is no combiner '{combiner}'. Combiners: {', '.join(get_args(Combiner))}.")
    return {"rcompile.combiner": combiner or "compiled"}


def quiet_options(threads: int = 0) -> ort.SessionOptions:
    """Options of a session that logs errors only: ONNX Runtime warns of nodes on two providers, which is what a bundle
    is for.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors are raised as well
    options.intra_op_num_threads = threads
    return options


def _copied(options: ort.SessionOptions) -> ort.SessionOptions:
    """Options that can change while the caller's do not: what is added to them stays, and a second session of the same
    would fail, or compute with the first one's numbers.

    onnxruntime copies options only into a session, which gives its own back, less providers and custom operators.
    """
    return InferenceSession(options, NO_MODEL, False, False).session_options


def _bundle_options() -> ort.SessionOptions:
    """Options of a bundle's session where the caller gives none."""
    options = quiet_options()
    # SkipLayerNormalization takes onnxruntime 1.31 four times as long as the Add and the LayerNormalization that it
    # stands for, and errs three times as much; in 1.26 it takes 0.8 times as long.
    options.add_session_config_entry("optimization.disable_specified_optimizers", "SkipLayerNormFusion")
    return options


def load(
    bundle: str | Path | Bundle,
    die: AnyDie | None = None,
    *,
    combiner: Combiner | None = None,
    threads: int = 0,
    session_options: ort.SessionOptions | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> CrossbarSession:
    """A session of a bundle on a die (None: no faults).

    Every file that the session reads is compared with its digest first, and what model.onnx says of its crossbars with
    the manifest. combiner: how replicas are combined, None: as compiled. threads: of ONNX Runtime and for changing
    dies; 0: as many as there are cores. session_options stay as they are; their providers and custom operators are left
    out. provider_options: see docs/runtime.md. Raises RcompileError for a bundle that is damaged or not understood.
    """
    if not 0 <= threads <= MAX_THREADS:
        raise UsageError(f"threads is {threads}; give 0 for all cores, or a number up to {MAX_THREADS}.")
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    opened.verify(opened.runtime_files())
    if wrong := graph_problems(opened, opened.manifest.layers):
        raise DamagedError(opened, wrong[0], "Compile the model again; `rcompile check` lists all damage.")
    options = _copied(session_options) if session_options else _bundle_options()
    provider = dict(provider_options or {})
    if threads:
        options.intra_op_num_threads = threads
        provider["threads"] = str(threads)
    numbers = number_errors(die)
    if numbers is not None:
        changed = flipped_numbers(opened, numbers)
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in changed.values()]
        options.add_external_initializers(list(changed), values)
    try:
        session = CrossbarSession(opened, options, provider)
    except RcompileError:
        raise
    except Exception as error:  # onnxruntime raises one class a status code
        raise BadInputError(f"ONNX Runtime refuses bundle '{opened.folder}': {error}") from None
    # In one call: each change computes the weights anew.
    changes = {} if die is None else die_options(die, opened)
    if combiner is not None:
        changes |= combiner_options(combiner)
    if changes:
        session._change(changes)
    session.die, session.combiner, session._numbers = die, combiner, numbers
    return session
