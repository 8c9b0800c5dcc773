"""The gait student: sixteen frames and a clinical embedding to gait logits; a design of our own.

Plain 2-D convolutions, which onnxruntime computes fastest in 8 bits, locate the walker's joints in
each frame. Convolutions over time then read how the joints move, after the position and the size of
the walker in the picture are divided out. There the clinical embedding scales and shifts the
features (FiLM; Perez et al., https://arxiv.org/abs/1709.07871). An embedding of zeros stands for an
unknown condition, and leaves the features exactly as they are.
"""

from itertools import pairwise

import torch
from torch import nn

FRAMES, SIDE = 16, 224
JOINT_COUNT = 19
CONDITION_SIZE = 384
GRID = 7  # cells of the last map, in each direction
WIDTHS = (32, 64, 128, 128)  # channels at 1/4, 1/8, 1/16 and 1/32 of the frame's side
MOVEMENT = 128  # channels over time
HIDDEN = 32  # values that the clinical embedding is reduced to
# the last batch normalisation of each residual branch, which `seed_torch` damps
RESIDUAL_NORMS = ("stages.*.1.norm.weight", "temporal.*.norm.weight")


class GaitStudent(nn.Module):
    """Frames and a clinical embedding to logits."""

    def __init__(self, class_count: int = 6) -> None:
        super().__init__()
        self.stem = _conv_norm_relu(3, WIDTHS[0], kernel=(4, 4), stride=4, padding=(0, 0))
        self.stages = nn.Sequential(
            *(
                nn.Sequential(_conv_norm_relu(before, after, stride=2), Residual(after))
                for before, after in pairwise(WIDTHS)
            )
        )
        self.joints = Joints(WIDTHS[-1])
        self.moves = _conv_norm_relu(2 * JOINT_COUNT, MOVEMENT, kernel=(3, 1), padding=(1, 0))
        self.film = Film(MOVEMENT)
        self.temporal = nn.Sequential(*(Residual(MOVEMENT, over_time=True) for _ in range(3)))
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(2 * MOVEMENT, class_count)

    def forward(self, frames: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return the logits of each class.

        Args:
            frames: (N, 16, 3, 224, 224) float32 RGB, levels of 0 to 255 without scaling: the first
                batch normalisation scales them, and 8 bits then hold them without loss.
            condition: (N, 384) float32, L2 norm 1, or zeros for an unknown condition.

        Returns:
            (N, class_count) float32.
        """
        return self.classify(self.locate(frames), condition)

    def locate(self, frames: torch.Tensor) -> torch.Tensor:
        """Map (N, 16, 3, 224, 224) frames to (N, 16, 2, J) x and y of joints, in frame sides."""
        x = self.joints(self.stages(self.stem(frames.reshape(-1, 3, SIDE, SIDE))))
        return x.reshape(-1, FRAMES, 2, JOINT_COUNT)

    def classify(self, pose: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Map (N, 16, 2, J) joints and (N, 384) embedding to (N, class_count) logits."""
        centered = pose - pose.mean((1, 3), keepdim=True)
        # the walker's height in the picture; over zero, even if all joints are in one place
        size = centered[:, :, 1:].abs().mean((1, 2, 3), keepdim=True) + 0.01
        moves = (centered / size).reshape(-1, FRAMES, 2 * JOINT_COUNT, 1).transpose(1, 2)
        x = self.temporal(self.film(self.moves(moves), condition))
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return self.classifier(self.dropout(x))


class Joints(nn.Module):
    """The position of each joint: each cell's center and offset, averaged by its probability."""

    centres: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.likely = nn.Conv2d(channels, JOINT_COUNT, 1)
        self.offset = nn.Conv2d(channels, 2 * JOINT_COUNT, 1)
        middles = (torch.arange(GRID) + 0.5) / GRID
        y, x = torch.meshgrid(middles, middles, indexing="ij")
        centres = torch.stack([x.flatten(), y.flatten()])[:, None]
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, 7, 7) features to (B, 2, J) x and y, in sides of the picture."""
        likely = torch.softmax(self.likely(x).reshape(-1, 1, JOINT_COUNT, GRID * GRID), 3)
        offset = self.offset(x).reshape(-1, 2, JOINT_COUNT, GRID * GRID)
        return (likely * (offset + self.centres)).sum(3)


class Residual(nn.Module):
    """Two convolutions, added to their input: over the picture, or over time."""

    def __init__(self, channels: int, *, over_time: bool = False) -> None:
        super().__init__()
        kernel, padding = ((3, 1), (1, 0)) if over_time else ((3, 3), (1, 1))
        self.first = _conv_norm_relu(channels, channels, kernel=kernel, padding=padding)
        self.second = nn.Conv2d(channels, channels, kernel, padding=padding, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) or (N, C, T, places) to the same shape."""
        return torch.relu(x + self.norm(self.second(self.first(x))))


class Film(nn.Module):
    """A scale and a shift of each channel, computed from an embedding; zeros change nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # without biases: zeros must give a scale of 1 and a shift of 0
        self.reduce = nn.Linear(CONDITION_SIZE, HIDDEN, bias=False)
        self.scale = nn.Linear(HIDDEN, channels, bias=False)
        self.shift = nn.Linear(HIDDEN, channels, bias=False)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Map (N, C, T, 1) features and (N, 384) embedding to (N, C, T, 1)."""
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
