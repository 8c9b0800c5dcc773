from dataclasses import replace

import pytest

from serve.commands.planning.measured import ModelCost
from serve.commands.planning.sizing import (
    Demand,
    Goal,
    Machine,
    Plan,
    make_plan,
    memory_bytes,
)
from serve.repository.memory.budget import CLIP_BYTES, MIB

SMALL = ModelCost("small", "image-classification", 7.0, 1.0, 8 * MIB, 12 * MIB, "manifest")
LARGE = ModelCost("large", "image-segmentation", 97.0, 1.0, 90 * MIB, 200 * MIB, "manifest")
GOAL = Goal(p99_s=None, utilisation=0.7, queue_s=2.0)
MACHINE = Machine(memory_mib=512, cpus=2)


def plan_for(
    *costs: ModelCost, rate: float = 100.0, machine: Machine = MACHINE, goal: Goal = GOAL
) -> Plan:
    demands = [Demand(cost, rate, rate, (cost.run_ms + 3) / 1000) for cost in costs]
    return make_plan(demands, machine, goal)


def test_the_replicas_keep_the_utilisation() -> None:
    plan = plan_for(SMALL, rate=1000)
    assert plan.replicas == 8  # 10 busy slots of 0.7 x 2 each
    assert plan.queue.utilisation == pytest.approx(10 / 16)
    assert plan.problems == ()


def test_a_goal_takes_more_replicas_until_it_is_kept() -> None:
    goal = replace(GOAL, p99_s=0.015)
    plan = plan_for(SMALL, rate=1000, goal=goal)
    assert plan.replicas > 8
    assert plan.latencies["small"].p99_s <= 0.015
    demands = [Demand(SMALL, 1000, 1000, 0.01)]
    fewer = make_plan(demands, MACHINE, replace(GOAL, utilisation=10 / 2 / (plan.replicas - 1)))
    assert fewer.replicas == plan.replicas - 1
    assert fewer.latencies["small"].p99_s > 0.015


def test_a_goal_below_the_service_is_named_with_what_to_change() -> None:
    plan = plan_for(SMALL, goal=replace(GOAL, p99_s=0.005))
    assert plan.problems == (
        "small takes 10 ms without any wait, and the goal is 5: raise SLIPWAY_THREADS, convert it "
        "to INT8 or a smaller input, or take a faster CPU",
    )


def test_memory_for_fewer_runs_lowers_them_and_says_so() -> None:
    plan = plan_for(LARGE, rate=1, machine=Machine(memory_mib=448, cpus=2))
    assert plan.runs == 1
    assert plan.problems == ()
    assert "set SLIPWAY_RUNS=1" in plan.hints[0]
    assert plan.needed_bytes == memory_bytes([LARGE], 1) <= plan.allowed_bytes


def test_models_that_fit_alone_are_split() -> None:
    third = replace(LARGE, id="third", kept_bytes=80 * MIB)
    plan = plan_for(LARGE, third, SMALL, rate=1, machine=Machine(memory_mib=448, cpus=2))
    assert len(plan.problems) == 1
    assert "split them over servers (large, small; third)" in plan.problems[0]


def test_a_model_that_never_fits_names_the_memory_that_it_needs() -> None:
    plan = plan_for(LARGE, rate=1, machine=Machine(memory_mib=256, cpus=2))
    (problem,) = plan.problems
    assert problem.startswith("large needs 378 MiB by itself, and 234 of 256 may be taken")
    assert "a machine of 448 MiB" in problem
    assert not plan_for(LARGE, rate=1, machine=Machine(memory_mib=448, cpus=2)).problems


def test_clips_and_sounds_have_room_to_be_decoded() -> None:
    gait = replace(SMALL, task="video-classification")
    assert memory_bytes([gait], 1) - memory_bytes([SMALL], 1) == 30 * MIB + CLIP_BYTES


def test_a_mix_of_short_and_long_runs_names_the_fair_order() -> None:
    mixed = plan_for(SMALL, LARGE, rate=1, machine=Machine(memory_mib=1024, cpus=2))
    assert any("serve simulate has the fair order" in hint for hint in mixed.hints)
    alike = plan_for(SMALL, replace(SMALL, id="other"), rate=1)
    assert not any("fair order" in hint for hint in alike.hints)
