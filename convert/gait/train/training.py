"""Training of the gait student, in three parts; other processes generate the examples.

First the convolutions learn to locate joints, from single frames. Then the layers over time learn
to classify walks, from generated joints alone, which costs a thousandth of rendering and locating
them. Last they learn from joints with the student's own errors: those of clips in which it located
the joints, also added to walks that were never rendered.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint import load_strictly, read_state_dict
from convert.gait.train.condition_sampler import ConditionSampler
from convert.gait.train.examples import (
    Example,
    add_pose_noise,
    clip_example,
    frames_example,
    generate_batches,
    track_example,
)
from convert.gait.train.joint_locator import with_estimates
from convert.samples.walkers import FRAMES, SIDE

FRAMES_BATCH, TRACKS_BATCH, CLIPS_BATCH = 64, 250, 8  # examples
# levels are divided by it in training, so that the first layer's weights are as large as others;
# `save` divides the weights instead. A power of two is exact in half precision
INPUT_SCALE = 64.0
HUBER_BETA = 0.02  # sides of the frame: errors of joints below it count squared
MAX_ERROR_FACTOR = 1.25  # of the student's errors, because it locates other walkers less well
RESIDUAL_NOISE = 0.3  # strength of pose noise in addition to the student's own errors
JITTER = 0.006  # sides of the frame: INT8 moves joints about as far, and must change no answer
CONSISTENCY_WEIGHT = 2.0  # of equal answers for jittered joints, relative to right answers
LOG_EVERY = 50  # steps

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Lengths and rates of a training."""

    joint_steps: int  # of 2 * FRAMES_BATCH frames
    tracks: int  # walks as generated joints
    clips: int  # walks as joints that the student locates
    epochs: int = 12  # over the tracks, in the second part and again in the third
    max_rate: float = 2e-3  # of the one-cycle schedule
    weight_decay: float = 0.02
    workers: int = 1  # processes that generate examples
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Poses:
    """Joints of n walks."""

    poses: NDArray[np.float32]  # (n, 16, 2, J)
    labels: NDArray[np.int64]  # (n,)
    errors: NDArray[np.float32] | None = None  # (n, 16, 2, J) the student's estimates minus poses


def train(
    student: Any, sampler: ConditionSampler, plan: TrainingPlan, *, checkpoint: Path, log: Log
) -> None:
    """Train a student, in place.

    Args:
        student: a GaitStudent.
        sampler: conditions.
        plan: lengths and rates.
        checkpoint: file to write the weights to after the first and the second part.
        log: receives lines of progress.
    """
    train_joints(student, plan, log=log)
    save(student, checkpoint)
    track_count = plan.tracks // TRACKS_BATCH
    tracks = _stack(
        generate_batches(track_example, batch=TRACKS_BATCH, count=track_count, workers=plan.workers)
    )
    train_classifier(student, tracks, None, sampler, plan, log=log)
    save(student, checkpoint)
    clip_count = plan.clips // CLIPS_BATCH
    clips = generate_batches(
        clip_example, batch=CLIPS_BATCH, count=clip_count, workers=plan.workers
    )
    located = _stack(with_estimates(student, clips, to_input))
    train_classifier(student, tracks, located, sampler, plan, log=log)
    student.eval()


def train_joints(student: Any, plan: TrainingPlan, *, log: Log) -> None:
    """Train the convolutions to locate joints in single frames."""
    import torch
    from torch.nn import functional

    bfloat16 = _has_bfloat16()

    def evaluate(batch: Sequence[Example]) -> tuple[Any, float]:
        # frames of several walkers fill the places of a clip: convolutions see each frame alone
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            joints = student.locate(to_input(batch)).float().flatten(0, 1)
        expected = torch.from_numpy(np.concatenate([example.pose for example in batch]))
        loss = functional.smooth_l1_loss(joints, expected, beta=HUBER_BETA)
        return loss, SIDE * float((joints.detach() - expected).abs().mean())

    batches = generate_batches(
        frames_example, batch=FRAMES_BATCH, count=plan.joint_steps, workers=plan.workers
    )
    student.train()
    _optimize(student, batches, evaluate, plan, plan.joint_steps, metric="px", log=log)


def train_classifier(
    student: Any,
    tracks: Poses,
    located: Poses | None,
    sampler: ConditionSampler,
    plan: TrainingPlan,
    *,
    log: Log,
) -> None:
    """Train the layers over time to classify walks.

    Args:
        student: a GaitStudent.
        tracks: walks as generated joints.
        located: walks with the student's errors: half of each batch; None: tracks alone.
        sampler: conditions.
        plan: lengths and rates.
        log: receives lines of progress.
    """
    import torch
    from torch.nn import functional

    rng = np.random.default_rng((plan.seed, located is not None))

    def evaluate(batch: Poses) -> tuple[Any, float]:
        embeddings = np.stack([sampler.sample(rng, label) for label in batch.labels])
        poses, condition = torch.from_numpy(batch.poses), torch.from_numpy(embeddings)
        labels = torch.from_numpy(batch.labels)
        jittered = poses + JITTER * torch.randn(poses.shape)
        logits, jittered_logits = (student.classify(p, condition) for p in (poses, jittered))
        accuracy = float((logits.argmax(1) == labels).float().mean())
        loss = sum(functional.cross_entropy(x, labels) for x in (logits, jittered_logits)) / 2
        return loss + CONSISTENCY_WEIGHT * symmetric_kl(logits, jittered_logits), accuracy

    student.train()
    steps = plan.epochs * (len(tracks.labels) // TRACKS_BATCH)
    batches = (mix_batch(rng, tracks, located) for _ in range(steps))
    _optimize(student, batches, evaluate, plan, steps, metric="accuracy", log=log)


def symmetric_kl(one: Any, other: Any) -> Any:
    """Return the mean Kullback-Leibler divergence of two (N, K) logits, both ways added."""
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
    state["stem.0.weight"] /= INPUT_SCALE
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({key: value.half() for key, value in state.items()}, path)


def restore(student: Any, path: Path) -> None:
    """Load weights that `save` wrote, to continue their training."""
    state = read_state_dict(path)
    state["stem.0.weight"] *= INPUT_SCALE
    load_strictly(student, state, path=path)


def to_input(batch: Sequence[Example]) -> Any:
    """Return all frames of a batch in training scale, in groups of 16: (N, 16, 3, H, W) float32."""
    import torch

    frames = torch.from_numpy(np.concatenate([example.frames for example in batch]))
    planes = frames.permute(0, 3, 1, 2).contiguous().float().div_(INPUT_SCALE)
    return planes.reshape(-1, FRAMES, *planes.shape[1:])


def _optimize(
    student: Any,
    batches: Iterable[Any],
    evaluate: Callable[[Any], tuple[Any, float]],
    plan: TrainingPlan,
    steps: int,
    *,
    metric: str,
    log: Log,
) -> None:
    """Run the optimizer over batches; `evaluate` returns loss and metric of one."""
    import torch

    optimizer = torch.optim.AdamW(
        student.parameters(), plan.max_rate, weight_decay=plan.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.max_rate, total_steps=steps + 1, pct_start=0.15
    )
    history, start = [], time.monotonic()
    for step, batch in enumerate(batches, 1):
        loss, value = evaluate(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        history.append((loss.item(), value))
        if step % LOG_EVERY == 0:
            mean_loss, mean_value = np.mean(history[-LOG_EVERY:], axis=0)
            seconds = time.monotonic() - start
            measured = f"loss {mean_loss:.4f} {metric} {mean_value:.3f}"
            log(f"step {step}/{steps} {measured} {seconds:.0f} s")


def _stack(batches: Iterable[Sequence[Example]]) -> Poses:
    """Collect the poses of all batches, with the student's errors if there are estimates."""
    examples = [example for batch in batches for example in batch]
    poses = np.stack([example.pose for example in examples])
    labels = np.array([example.label for example in examples])
    estimates = [example.estimate for example in examples if example.estimate is not None]
    return Poses(poses, labels, np.stack(estimates) - poses if estimates else None)


def mix_batch(rng: np.random.Generator, tracks: Poses, located: Poses | None) -> Poses:
    """Pick a random batch, and add errors like those of serving.

    Args:
        rng: decides walks and errors.
        tracks: walks as generated joints; TRACKS_BATCH of them, with errors of other walks.
        located: walks with the student's errors; TRACKS_BATCH of them, with their own errors.
            None: tracks alone, with random noise.
    """
    picks = rng.integers(len(tracks.labels), size=TRACKS_BATCH)
    poses, labels = tracks.poses[picks], tracks.labels[picks]
    if located is None or located.errors is None:
        return Poses(add_pose_noise(rng, poses), labels)
    located_picks = rng.integers(len(located.labels), size=TRACKS_BATCH)
    factors = _error_factors(rng)
    foreign_errors = factors * located.errors[rng.integers(len(located.labels), size=TRACKS_BATCH)]
    own_errors = _error_factors(rng) * located.errors[located_picks]
    all_poses = np.concatenate([poses + foreign_errors, located.poses[located_picks] + own_errors])
    all_labels = np.concatenate([labels, located.labels[located_picks]])
    return Poses(add_pose_noise(rng, all_poses, strength=RESIDUAL_NOISE), all_labels)


def _error_factors(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return random factors from 0 to MAX_ERROR_FACTOR, (TRACKS_BATCH, 1, 1, 1)."""
    return rng.uniform(0, MAX_ERROR_FACTOR, (TRACKS_BATCH, 1, 1, 1)).astype(np.float32)


def _has_bfloat16() -> bool:
    """Return whether the CPU multiplies in bfloat16, which makes training faster."""
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and "avx512_bf16" in cpu.read_text("utf-8")
