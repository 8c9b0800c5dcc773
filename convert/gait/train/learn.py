"""The training: one core draws, one learns.

First the student learns to see where joints are, from single frames. Then to judge walks, from
joints alone, which costs a thousandth of drawing and seeing them. Last with its own mistakes: of
the walks that it saw, and lent to the many that it did not.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint import load_strictly, read_state_dict
from convert.gait.train.evidence import Evidence
from convert.gait.train.examples import (
    Example,
    draw_clip,
    draw_moments,
    draw_track,
    drawn,
    shaken,
)
from convert.gait.train.sight import as_seen
from convert.samples.walkers import FRAMES, SIDE

MOMENTS, TRACKS, CLIPS = 64, 250, 8  # examples of a batch
# levels are divided while learning so that the first weights are as large as all others, and the
# weights instead of the levels afterwards: by a power of two, exact in half precision
LEVEL = 64.0
SHARP = 0.02  # sides of the picture: errors of joints above it count as they are, below squared
EXAGGERATED = 1.25  # mistakes of seeing at their largest: other walkers are seen worse
REST = 0.3  # of the shaking, beside mistakes that are real ones
JITTER = 0.006  # sides of the picture: 8 bits move a joint about as far, and must change no answer
UNANIMITY = 2.0  # weight of that against being right
SHOWN = 50  # steps between two lines of progress

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast."""

    pose_steps: int  # of 128 frames
    tracks: int  # walks as joints alone
    clips: int  # walks as the student sees them
    epochs: int = 12  # how often each track comes, twice: before and after the clips
    rate: float = 2e-3  # learning rate at its highest
    decay: float = 0.02
    workers: int = 1  # processes that draw
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Walks:
    """Many walks as joints."""

    poses: NDArray[np.float32]  # (n, 16, 2, J) where they are
    labels: NDArray[np.int64]  # (n,)
    mistakes: NDArray[np.float32] | None = None  # of the same shape: as seen, less where they are


def train(student: Any, evidence: Evidence, plan: Plan, *, checkpoint: Path, tell: Tell) -> None:
    """Teach a student in place.

    Args:
        student: a GaitStudent.
        evidence: embedded phrases.
        plan: how long.
        checkpoint: written after each part.
        tell: takes lines of progress.
    """
    learn_poses(student, plan, tell=tell)
    save(student, checkpoint)
    tracks = _walks(
        drawn(draw_track, batch=TRACKS, count=plan.tracks // TRACKS, workers=plan.workers)
    )
    learn_walks(student, tracks, None, evidence, plan, tell=tell)
    save(student, checkpoint)
    clips = drawn(draw_clip, batch=CLIPS, count=plan.clips // CLIPS, workers=plan.workers)
    seen = _walks(as_seen(student, clips, levels))
    learn_walks(student, tracks, seen, evidence, plan, tell=tell)
    student.eval()


def learn_poses(student: Any, plan: Plan, *, tell: Tell) -> None:
    """Teach where the joints are."""
    import torch
    from torch.nn import functional

    bfloat16 = _knows_bfloat16()

    def error(batch: Sequence[Example]) -> tuple[Any, float]:
        # single frames stand in the places of a clip's: each goes through the convolutions alone
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            found = student.locate(levels(batch)).float().flatten(0, 1)
        wanted = torch.from_numpy(np.concatenate([example.pose for example in batch]))
        loss = functional.smooth_l1_loss(found, wanted, beta=SHARP)
        return loss, SIDE * float((found.detach() - wanted).abs().mean())

    moments = drawn(draw_moments, batch=MOMENTS, count=plan.pose_steps, workers=plan.workers)
    student.train()
    _learn(student, moments, error, plan, plan.pose_steps, measure="px", tell=tell)


def learn_walks(
    student: Any,
    tracks: Walks,
    seen: Walks | None,
    evidence: Evidence,
    plan: Plan,
    *,
    tell: Tell,
) -> None:
    """Teach to judge walks; where some were seen, half of them, with mistakes of seeing in all."""
    import torch
    from torch.nn import functional

    rng = np.random.default_rng((plan.seed, seen is not None))

    def error(batch: Walks) -> tuple[Any, float]:
        known = np.stack([evidence.draw(rng, label) for label in batch.labels])
        poses, condition = torch.from_numpy(batch.poses), torch.from_numpy(known)
        labels = torch.from_numpy(batch.labels)
        jittered = poses + JITTER * torch.randn(poses.shape)
        one, other = (student.classify(each, condition) for each in (poses, jittered))
        right = float((one.argmax(1) == labels).float().mean())
        loss = sum(functional.cross_entropy(each, labels) for each in (one, other)) / 2
        return loss + UNANIMITY * divergence(one, other), right

    student.train()
    steps = plan.epochs * (len(tracks.labels) // TRACKS)
    batches = (mixed(rng, tracks, seen) for _ in range(steps))
    _learn(student, batches, error, plan, steps, measure="right", tell=tell)


def divergence(one: Any, other: Any) -> Any:
    """Mean of what two rows of logits, (N, K), say differently: Kullback-Leibler, both ways."""
    from torch.nn import functional

    logs = [functional.log_softmax(logits, 1) for logits in (one, other)]
    return sum(
        functional.kl_div(a, b, reduction="batchmean", log_target=True)
        for a, b in (logs, reversed(logs))
    )


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


def levels(batch: Sequence[Example]) -> Any:
    """(N, 16, 3, H, W) float32 of the frames of a batch, one after the other, as learned from."""
    import torch

    frames = torch.from_numpy(np.concatenate([example.frames for example in batch]))
    planes = frames.permute(0, 3, 1, 2).contiguous().float().div_(LEVEL)
    return planes.reshape(-1, FRAMES, *planes.shape[1:])


def _learn(
    student: Any,
    batches: Iterable[Any],
    error: Callable[[Any], tuple[Any, float]],
    plan: Plan,
    steps: int,
    *,
    measure: str,
    tell: Tell,
) -> None:
    import torch

    optimizer = torch.optim.AdamW(student.parameters(), plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.rate, total_steps=steps + 1, pct_start=0.15
    )
    seen, begin = [], time.monotonic()
    for step, batch in enumerate(batches, 1):
        loss, measured = error(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        seen.append((loss.item(), measured))
        if step % SHOWN == 0:
            shown, of = np.mean(seen[-SHOWN:], axis=0)
            spent = time.monotonic() - begin
            tell(f"step {step}/{steps} loss {shown:.4f} {measure} {of:.3f} {spent:.0f} s")


def _walks(batches: Iterable[Sequence[Example]]) -> Walks:
    examples = [example for batch in batches for example in batch]
    poses = np.stack([example.pose for example in examples])
    labels = np.array([example.label for example in examples])
    seen = [example.seen for example in examples if example.seen is not None]
    return Walks(poses, labels, np.stack(seen) - poses if seen else None)


def mixed(rng: np.random.Generator, tracks: Walks, seen: Walks | None) -> Walks:
    """A batch at random, joints as uncertain as they will be."""
    picked = rng.integers(len(tracks.labels), size=TRACKS)
    poses, labels = tracks.poses[picked], tracks.labels[picked]
    if seen is None or seen.mistakes is None:
        return Walks(shaken(rng, poses), labels)
    others = rng.integers(len(seen.labels), size=TRACKS)
    lent = _share(rng) * seen.mistakes[rng.integers(len(seen.labels), size=TRACKS)]
    own = seen.poses[others] + _share(rng) * seen.mistakes[others]
    both = np.concatenate([poses + lent, own])
    return Walks(shaken(rng, both, most=REST), np.concatenate([labels, seen.labels[others]]))


def _share(rng: np.random.Generator) -> NDArray[np.float32]:
    """How much of a mistake is made: from none to somewhat more, (TRACKS, 1, 1, 1)."""
    return rng.uniform(0, EXAGGERATED, (TRACKS, 1, 1, 1)).astype(np.float32)


def _knows_bfloat16() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "avx512_bf16" in cpu.read_text("utf-8")
