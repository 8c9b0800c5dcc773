"""The gait student: sixteen frames and a clinical embedding to gait logits; a design of our own.

Each frame alone goes through plain 2-D convolutions, which onnxruntime computes fastest in 8 bits;
then convolutions over time see how each place of the picture changes. The clinical embedding
scales and shifts the features (FiLM; Perez et al., https://arxiv.org/abs/1709.07871). Nothing known
about the patient is an embedding of zeros, and leaves the features exactly as they are.
"""

from itertools import pairwise

import torch
from torch import nn

FRAMES, SIDE = 16, 224
CONDITION_SIZE = 384
GRID = 7  # places that a frame is reduced to, in each direction
WIDTHS = (32, 64, 96, 128)  # channels at 1/4, 1/8, 1/16 and 1/32 of the frame's side
HIDDEN = 32  # values that the clinical embedding is reduced to
# batch normalisation that closes each residual branch, for `convert.seeded`
RESIDUAL_NORMS = ("stages.*.1.2.weight", "temporal.*.2.weight")


class GaitStudent(nn.Module):
    """Frames and a clinical embedding to logits."""

    def __init__(self, class_count: int = 6) -> None:
        super().__init__()
        self.stem = _conv_norm_relu(3, WIDTHS[0], kernel=(8, 8), stride=4, padding=(2, 2))
        self.stages = nn.Sequential(
            *(
                nn.Sequential(_conv_norm_relu(before, after, stride=2), Residual(after))
                for before, after in pairwise(WIDTHS)
            )
        )
        channels = WIDTHS[-1]
        self.temporal = nn.Sequential(*(Residual(channels, over_time=True) for _ in range(2)))
        self.film = Film(2 * channels)
        self.mix = _conv_norm_relu(2 * channels, channels, kernel=(3, 1), padding=(1, 0))
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(2 * channels, class_count)

    def forward(self, frames: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Logits of each class.

        Args:
            frames: (N, 16, 3, 224, 224) float32 RGB, levels of 0 to 255 as they are: the first
                batch normalisation scales them, and 8 bits then hold them without loss.
            condition: (N, 384) float32, L2 norm 1, or zeros where nothing is known.

        Returns:
            (N, class_count) float32.
        """
        return self.classify(self.weigh(self.follow(self.watch(frames)), condition))

    def watch(self, frames: torch.Tensor) -> torch.Tensor:
        """(N, 16, 3, 224, 224) frames to (N, C, 16, places), each frame alone."""
        x = self.stages(self.stem(frames.reshape(-1, 3, SIDE, SIDE)))
        return x.reshape(-1, FRAMES, WIDTHS[-1], GRID * GRID).transpose(1, 2)

    def follow(self, seen: torch.Tensor) -> torch.Tensor:
        """(N, C, 16, places) to (N, 2 C, 16, 1): how places change, then the places together."""
        x = self.temporal(seen)
        return torch.cat([x.mean(3, keepdim=True), x.amax(3, keepdim=True)], 1)

    def weigh(self, followed: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(N, 2 C, 16, 1) features and (N, 384) embedding to (N, 2 C) of the whole walk."""
        x = self.mix(self.film(followed, condition))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)

    def classify(self, summary: torch.Tensor) -> torch.Tensor:
        """(N, 2 C) to (N, class_count) logits."""
        return self.classifier(self.dropout(summary))


class Residual(nn.Module):
    """Two convolutions added to what they were given: over the picture, or over time."""

    def __init__(self, channels: int, *, over_time: bool = False) -> None:
        super().__init__()
        kernel, padding = ((3, 1), (1, 0)) if over_time else ((3, 3), (1, 1))
        self.first = _conv_norm_relu(channels, channels, kernel=kernel, padding=padding)
        self.second = nn.Conv2d(channels, channels, kernel, padding=padding, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) or (N, C, T, places) to the same shape."""
        return torch.relu(x + self.norm(self.second(self.first(x))))


class Film(nn.Module):
    """Scale and shift each channel by what an embedding says; zeros say nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # without biases: zeros must give a scale of 1 and a shift of 0
        self.reduce = nn.Linear(CONDITION_SIZE, HIDDEN, bias=False)
        self.scale = nn.Linear(HIDDEN, channels, bias=False)
        self.shift = nn.Linear(HIDDEN, channels, bias=False)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """(N, C, T, 1) features and (N, 384) embedding to (N, C, T, 1)."""
        hidden = torch.relu(self.reduce(condition))
        scale, shift = (part(hidden)[..., None, None] for part in (self.scale, self.shift))
        return x * (1 + scale) + shift


def _conv_norm_relu(
    channels: int,
    out: int,
    *,
    kernel: tuple[int, int] = (3, 3),
    stride: int = 1,
    padding: tuple[int, int] = (1, 1),
) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, kernel, stride, padding=padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))
