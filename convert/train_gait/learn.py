"""The training loop: one core draws, one learns.

First the student learns to see where joints are, from single frames; then gaits, from clips. Every
walker is seen once, so what it gets right before it learns from it is what it knows of strangers.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint import load_strictly, read_state_dict
from convert.train_gait.evidence import Evidence
from convert.train_gait.examples import Example, draw_clip, draw_moments, drawn, spread
from convert.walkers import FRAMES, JOINTS

CLIPS, MOMENTS = 12, 64  # examples of a step
POSE_WEIGHT, GAIT_WEIGHT = 20.0, 0.5
# levels are divided while learning so that the first weights are as large as all others, and the
# weights instead of the levels afterwards: by a power of two, exact in half precision
LEVEL = 64.0
SHOWN = 50  # steps between two lines of progress
SAVED = 250  # steps between two checkpoints

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast."""

    pose_steps: int
    gait_steps: int
    rate: float = 2e-3  # learning rate at its highest
    decay: float = 0.02
    first_clip: int = 0  # number of the first walker: later for who goes on from earlier weights
    workers: int = 1  # processes that draw
    seed: int = 0


def train(student: Any, evidence: Evidence, plan: Plan, *, checkpoint: Path, tell: Tell) -> None:
    """Teach a student in place.

    Args:
        student: a GaitStudent.
        evidence: embedded phrases.
        plan: how long.
        checkpoint: written now and then for whoever watches.
        tell: takes lines of progress.
    """
    from convert.architectures.gait_tutor import Tutor

    mean, deviation = spread()
    rng = np.random.default_rng((plan.seed, plan.first_clip))
    bfloat16 = _knows_bfloat16()
    tutor = Tutor(student, joint_count=len(JOINTS), parameter_count=len(mean)).train()

    def of_moments(batch: Sequence[Example]) -> tuple[list[Any], float]:
        return [_pose_loss(tutor, batch, bfloat16=bfloat16)], 0.0

    def of_clips(batch: Sequence[Example]) -> tuple[list[Any], float]:
        condition = np.stack([evidence.draw(rng, example.label) for example in batch])
        truth = np.stack([(example.gait - mean) / deviation for example in batch])
        return _clip_losses(tutor, batch, condition, truth, bfloat16=bfloat16)

    moments = drawn(draw_moments, batch=MOMENTS, steps=plan.pose_steps, workers=plan.workers)
    _learn(tutor, moments, of_moments, plan, plan.pose_steps, tell=tell)
    save(student, checkpoint)
    clips = drawn(
        draw_clip,
        first=plan.first_clip,
        batch=CLIPS,
        steps=plan.gait_steps,
        workers=plan.workers,
    )
    _learn(tutor, clips, of_clips, plan, plan.gait_steps, tell=tell, checkpoint=checkpoint)
    student.eval()


def save(student: Any, path: Path) -> None:
    """Write the state_dict in half precision, for levels of 0 to 255."""
    import torch

    state = {k: v.detach().clone() for k, v in student.state_dict().items()}
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    state["stem.0.weight"] /= LEVEL
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({key: value.half() for key, value in state.items()}, path)


def restore(student: Any, path: Path) -> None:
    """Go on from weights that `save` wrote."""
    state = read_state_dict(path)
    state["stem.0.weight"] *= LEVEL
    load_strictly(student, state, path=path)


def _learn(
    tutor: Any,
    batches: Iterable[Sequence[Example]],
    losses_of: Callable[[Sequence[Example]], tuple[list[Any], float]],
    plan: Plan,
    steps: int,
    *,
    tell: Tell,
    checkpoint: Path | None = None,
) -> None:
    import torch

    optimizer = torch.optim.AdamW(tutor.parameters(), plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.rate, total_steps=steps + 1, pct_start=0.15
    )
    seen, begin = [], time.monotonic()
    for step, batch in enumerate(batches, 1):
        losses, right = losses_of(batch)
        optimizer.zero_grad()
        sum(losses).backward()
        torch.nn.utils.clip_grad_norm_(tutor.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        seen.append([right, *(loss.item() for loss in losses)])
        if step % SHOWN == 0:
            right, *means = np.mean(seen[-2 * SHOWN :], axis=0)
            shown = " ".join(f"{value:.3f}" for value in means)
            spent = time.monotonic() - begin
            tell(f"step {step}/{steps} losses {shown} right {right:.3f} {spent:.0f} s")
        if checkpoint is not None and step % SAVED == 0:
            save(tutor.student, checkpoint)


def _pose_loss(tutor: Any, batch: Sequence[Example], *, bfloat16: bool) -> Any:
    import torch
    from torch.nn import functional

    # single frames stand in the places of a clip's: each goes through the convolutions alone
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        pose = tutor.locate(tutor.student.watch(_levels(batch))).float()
    truth = np.concatenate([example.pose for example in batch])
    return POSE_WEIGHT * functional.mse_loss(pose.flatten(0, 1), torch.from_numpy(truth).flatten(1))


def _clip_losses(
    tutor: Any,
    batch: Sequence[Example],
    condition: NDArray[np.float32],
    truth: NDArray[np.float32],
    *,
    bfloat16: bool,
) -> tuple[list[Any], float]:
    """What is wrong with class, pose and parameters; share of the classes that is right."""
    import torch
    from torch.nn import functional

    # bfloat16 has float's range, so losses need no scaling; twice as fast where the CPU knows it
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        answers = tutor(_levels(batch), torch.from_numpy(condition))
    logits, pose, gait = (answer.float() for answer in answers)
    labels = torch.tensor([example.label for example in batch])
    poses = torch.from_numpy(np.stack([example.pose for example in batch])).flatten(2)
    losses = [
        functional.cross_entropy(logits, labels),
        POSE_WEIGHT * functional.mse_loss(pose, poses),
        GAIT_WEIGHT * functional.mse_loss(gait, torch.from_numpy(truth)),
    ]
    return losses, float((logits.argmax(1) == labels).float().mean())


def _levels(batch: Sequence[Example]) -> Any:
    """(N, T, 3, H, W) float32."""
    import torch

    frames = torch.from_numpy(np.concatenate([example.frames for example in batch]))
    planes = frames.permute(0, 3, 1, 2).contiguous().float().div_(LEVEL)
    return planes.reshape(-1, FRAMES, *planes.shape[1:])


def _knows_bfloat16() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "avx512_bf16" in cpu.read_text("utf-8")
