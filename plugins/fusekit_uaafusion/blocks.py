"""The two building blocks of UAAFusion's networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SLOPE = 0.25  # initial slope of torch's PReLU


class ConvUnit(nn.Sequential):
    """3×3 convolution, PReLU with one parameter, 3×3 convolution; reflect padding, with biases.

    Weights are initialised with He's variance for the PReLU, biases to zero. The network has a sequence of about thirty
    convolutions: with torch's default initialisation, which has a third of that variance, the signal vanishes after the
    second stage, the output is constant, and training can saturate the sigmoid before the network learns from the
    sources (docs/decisions/0009-initialisation.md).

    Args:
        inputs: Input channels.
        hidden: Channels between the convolutions.
        outputs: Output channels.
        spread: Factor of the initial weights of the last convolution.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, *, spread: float = 1.0) -> None:
        super().__init__(_convolution(inputs, hidden), nn.PReLU(init=_SLOPE), _convolution(hidden, outputs, spread))


def _convolution(inputs: int, outputs: int, spread: float = 1.0) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")
    nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
    layer.weight.data.mul_(spread)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ConvLSTM(nn.Module):
    """Convolutional LSTM cell: 3×3, reflect padding, biases in both the input and the state convolution.

    One convolution each for input and state computes all four gates, in the order forget, input, output, candidate.
    The first step has no previous state: c = i · j, h = o · c, without tanh.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_input = nn.Conv2d(channels, 4 * channels, 3, padding=1, padding_mode="reflect")
        self.of_state = nn.Conv2d(channels, 4 * channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor, h: Tensor | None, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """One step: from input and state, each (B, C, H, W), to the next hidden state h and cell state c."""
        gates = self.of_input(x)
        if h is None or c is None:
            _, i, o, j = gates.chunk(4, dim=1)
            c = torch.sigmoid(i) * torch.tanh(j)
            return torch.sigmoid(o) * c, c
        f, i, o, j = (gates + self.of_state(h)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(j)
        return torch.sigmoid(o) * torch.tanh(c), c
