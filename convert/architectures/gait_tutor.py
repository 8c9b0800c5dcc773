"""What the gait student is also asked while it learns, and never again: pose and gait parameters.

The drawings know where every joint is and how every leg moves. Answering that too, the student
needs a fraction of the clips that class labels alone would take.
"""

import torch
from torch import nn

from convert.architectures.gait_student import GRID, WIDTHS, GaitStudent

# of the pose head's 6,272 inputs: one step of Adam moves all their weights alike, and unscaled the
# answer jumped by many pictures' sides at once
CAUTION = 1 / 256


class Tutor(nn.Module):
    """A student with two more heads; nothing of it is kept but the student."""

    def __init__(self, student: GaitStudent, *, joint_count: int, parameter_count: int) -> None:
        super().__init__()
        self.student = student
        self.pose = nn.Linear(WIDTHS[-1] * GRID * GRID, joint_count * 2)
        self.gait = nn.Linear(2 * WIDTHS[-1], parameter_count)
        nn.init.constant_(self.pose.bias, 0.5)  # the middle of the picture

    def forward(
        self, frames: torch.Tensor, condition: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Answers to all three questions.

        Args:
            frames: (N, 16, 3, 224, 224), as the student takes them.
            condition: (N, 384).

        Returns:
            logits: (N, K).
            pose: (N, 16, 2 J) joints in sides of the picture.
            gait: (N, P) standardised parameters.
        """
        seen = self.student.watch(frames)
        summary = self.student.weigh(self.student.follow(seen), condition)
        return self.student.classify(summary), self.locate(seen), self.gait(summary)

    def locate(self, seen: torch.Tensor) -> torch.Tensor:
        """(N, C, 16, places) features to (N, 16, 2 J) joints."""
        return self.pose(CAUTION * seen.transpose(1, 2).flatten(2))
