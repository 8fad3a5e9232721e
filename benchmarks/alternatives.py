"""What a user would write or install instead: each a function that gives a call y = f(x) of one layer, on a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rcompile.bundle.reader import Layer
from rcompile.hardware.target import Target
from runtime.die.layers import LayerOnDie
from runtime.product.reference import Scaling, linear

Call = Callable[[np.ndarray], np.ndarray]


def numpy_loop(layer: Layer, held: LayerOnDie, target: Target) -> Call:
    """The hardware model as runtime/product/reference.py has it."""
    (bias,) = layer.biases.values()
    return lambda x: linear(x, held, layer.tiles, Scaling(layer.weight_scale, bias), target)


def torch_loop(layer: Layer, held: LayerOnDie, target: Target) -> Call:
    """The hardware model as one would write it in PyTorch: a product a digit, row block and bit plane, then the ADC.

    For a dense layer, offset-encoded weights, two's complement inputs and an ADC step of one level. Raises ImportError.
    """
    import torch

    torch.set_num_threads(1)
    bits, top, full_scale = target.input.bits, target.top_level, (1 << target.adc.bits) - 1
    qmax, offset = (1 << (bits - 1)) - 1, target.encoding.offset
    blocks = [tuple(map(torch.from_numpy, block)) for block in _by_digit(layer, held, target)]
    weight_scale = torch.from_numpy(layer.weight_scale)
    (bias,) = map(torch.from_numpy, layer.biases.values())

    def call(x: np.ndarray) -> np.ndarray:
        values = torch.from_numpy(x)
        scale = values.abs().amax(dim=1, keepdim=True) / qmax
        codes = torch.round(values / scale).clamp(-qmax, qmax).int()
        y = -offset * codes.double().sum(dim=1, keepdim=True).repeat(1, len(weight_scale))
        for features, block_levels, inverted in blocks:
            for i, digit in enumerate(target.encoding.digits):
                # In float32: sums of small integers, exact.
                total = torch.zeros(len(x), len(weight_scale))
                for b in range(bits):
                    driven = ((codes[:, features] >> b) & 1).float()
                    popcount = driven.sum(dim=1, keepdim=True)
                    leak = torch.floor(target.hrs_levels * popcount.double() + 0.5).float()
                    reads = (driven @ block_levels[i] + leak).clamp(max=full_scale) - leak
                    reads = torch.where(inverted[i], top * popcount - reads, reads)
                    total += reads * (1 << b if b < bits - 1 else -(1 << b))
                y += total.double() * digit
        return (y.float() * (scale * weight_scale) + bias).numpy()

    return call


def _by_digit(layer: Layer, held: LayerOnDie, target: Target) -> Iterator[tuple[np.ndarray, ...]]:
    """Each row block: features [rows], levels float32 [digits, rows, outputs], inverted bitlines [digits, outputs]."""
    place, outputs = layer.tiles.placement, len(layer.weight_scale)
    for tiles in place.row_blocks():
        driven, used = place.wordline_input[tiles.start] >= 0, place.bitline_output[tiles] >= 0
        where = place.bitline_digit[tiles][used], place.bitline_output[tiles][used]
        block = np.zeros((len(target.encoding.digits), outputs, driven.sum()), np.float32)
        block[where] = held.levels[tiles].transpose(0, 2, 1)[used][:, driven]
        inverted = np.zeros((len(target.encoding.digits), outputs), np.bool_)
        inverted[where] = layer.tiles.bitline_inverted[tiles][used] == 1
        features = place.wordline_input[tiles.start][driven].astype(np.int64)
        yield features, np.ascontiguousarray(block.transpose(0, 2, 1)), inverted


def aihwkit_layer(weight: np.ndarray) -> Call:
    """aihwkit's analog linear: 128-row tiles, 8-bit inputs and outputs, no noise. One analog pass a tile: no bit
    slices, no bit planes, no stuck cells, so it does about a thirtieth of the reads. Raises ImportError. weight:
    float32 [inputs, outputs].
    """
    import torch
    from aihwkit.nn import AnalogLinearMapped
    from aihwkit.simulator.configs import TorchInferenceRPUConfig
    from aihwkit.simulator.parameters import IOParameters

    torch.set_num_threads(1)
    resolution = 1 / (2**8 - 2)
    config = TorchInferenceRPUConfig()
    config.mapping.max_input_size, config.mapping.max_output_size = 128, 0
    config.forward = IOParameters(inp_res=resolution, out_res=resolution, inp_noise=0.0, out_noise=0.0, w_noise=0.0)
    inputs, outputs = weight.shape
    layer = AnalogLinearMapped(inputs, outputs, bias=False, rpu_config=config).eval()
    layer.set_weights(torch.from_numpy(np.ascontiguousarray(weight.T)))

    def call(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return layer(torch.from_numpy(x)).numpy()

    return call
