import math

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.metrics import BOX_METRICS, Outputs, max_abs_difference, measure
from convert.models.background_u2netp import RECIPE
from convert.recipe import Tolerance
from runtime.artifact.manifest import NmsConfig


def array(values: object) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def masks(*alphas: NDArray[np.float32], low: float = 0.0, high: float = 1.0) -> Outputs:
    ranges = array([[low, high]] * len(alphas))
    return {"alpha": np.stack(alphas), "alpha_range": ranges}


def square(side: int, *, size: int = 20) -> NDArray[np.float32]:
    alpha = np.zeros((size, size), np.float32)
    alpha[:side, :side] = 1
    return alpha


@pytest.mark.parametrize(
    "outputs",
    [
        ({"probabilities": array([[0.2, 0.8], [0.9, 0.1]])}),
        ({"embedding": array([[0.6, 0.8], [1, 0], [0, 1]])}),
        (masks(square(5), square(9))),
    ],
)
def test_equal_outputs_have_no_loss_and_nan_an_infinite_one(outputs: Outputs) -> None:
    fidelity = measure(outputs, outputs)
    assert fidelity.loss == pytest.approx(0, abs=1e-6)
    broken = {name: np.full_like(values, np.nan) for name, values in outputs.items()}
    assert measure(outputs, broken).loss == float("inf")


def test_classification_by_hand() -> None:
    reference = {"probabilities": array([[0.6, 0.4], [0.1, 0.9]])}
    candidate = {"probabilities": array([[0.4, 0.6], [0.1, 0.9]])}
    fidelity = measure(reference, candidate)
    # total variation: half of |.2| + |.2|, over two rows
    assert fidelity.metrics["probability_distance"] == pytest.approx(0.1)
    assert fidelity.metrics["probability_distance_p95"] == pytest.approx(0.19)  # of 0.2 and 0
    assert fidelity.metrics["top1_agreement"] == 0.5
    assert fidelity.loss == pytest.approx(0.1)


def test_embeddings_are_compared_without_their_common_direction() -> None:
    common = array([10, 0, 0])
    reference = {"embedding": common + array([[0, 1, 0], [0, -1, 0]])}
    candidate = {"embedding": common + array([[0, 0, 1], [0, 0, -1]])}
    fidelity = measure(reference, candidate)
    assert fidelity.metrics["cosine_mean"] == pytest.approx(0, abs=1e-5)  # plain cosine: 0.99
    assert fidelity.metrics["pair_error"] == pytest.approx(0, abs=1e-4)


def test_pair_error_by_hand() -> None:
    reference = {"embedding": array([[1, 0], [0, 1]])}
    candidate = {"embedding": array([[1, 0], [0.6, 0.8]])}
    fidelity = measure(reference, candidate)
    assert fidelity.metrics["pair_error"] == pytest.approx(0.6)


def test_segmentation_by_hand() -> None:
    fidelity = measure(masks(square(10)), masks(square(5)))
    assert fidelity.metrics["iou_mean"] == pytest.approx(25 / 100)
    assert fidelity.metrics["mae"] == pytest.approx(75 / 400)
    assert fidelity.metrics["collapsed_fraction"] == 0


def test_constant_mask_fails_the_packaged_tolerance() -> None:
    reference = masks(square(10), square(6))
    constant = masks(square(0), square(0), low=0.4, high=0.4)
    fidelity = measure(reference, constant)
    assert fidelity.metrics["collapsed_fraction"] == 1
    assert fidelity.metrics["iou_mean"] == 0
    assert any("iou_mean" in reason for reason in RECIPE.tolerance.violations(fidelity.metrics))


def test_constant_mask_fails_also_where_iou_leaves_all_images_out() -> None:
    reference = masks(square(1, size=40), square(1, size=40))
    constant = masks(square(0, size=40), square(0, size=40), low=0.4, high=0.4)
    fidelity = measure(reference, constant)
    assert fidelity.metrics["iou_mean"] == 1  # every image is left out
    violations = RECIPE.tolerance.violations(fidelity.metrics)
    assert any("collapsed_fraction" in reason for reason in violations)


def test_small_foreground_is_left_out_of_iou_and_not_of_mae() -> None:
    reference = masks(square(20, size=40), square(1, size=40))
    candidate = masks(square(20, size=40), square(0, size=40))
    fidelity = measure(reference, candidate)
    assert fidelity.metrics["iou_mean"] == 1
    assert fidelity.metrics["mae"] == pytest.approx(1 / 3200)


def test_max_abs_difference_is_over_all_outputs() -> None:
    reference = {"a": array([1, 2]), "b": array([[5]])}
    assert max_abs_difference(reference, {"a": array([1, 2.5]), "b": array([[4]])}) == 1
    assert max_abs_difference(reference, reference) == 0
    broken = {"a": array([1, np.nan]), "b": array([[5]])}
    assert max_abs_difference(reference, broken) == float("inf")


def test_differences_of_boxes_are_divided_by_the_largest_coordinate() -> None:
    reference: Outputs = {"boxes_xyxy": array([[[0, 0, 640, 320]]]), "scores": array([[[0.5]]])}
    moved: Outputs = {**reference, "boxes_xyxy": array([[[0, 0, 640, 320.64]]])}
    assert max_abs_difference(reference, moved) == pytest.approx(1e-3, rel=1e-3)
    # the divisor is at least 1 px
    tiny: Outputs = {"boxes_xyxy": array([[[0, 0, 0.5, 0.5]]])}
    assert max_abs_difference(tiny, {"boxes_xyxy": array([[[0, 0, 0.5, 0.4]]])}) == pytest.approx(
        0.1, rel=1e-3
    )


@pytest.mark.parametrize("name", ["boxes_xyxy", "keypoints"])
def test_differences_in_px_are_relative(name: str) -> None:
    far = max_abs_difference({name: array([0, 500])}, {name: array([5, 500])})
    assert far == pytest.approx(0.01)
    assert max_abs_difference({name: array([0, 0.5])}, {name: array([0.25, 0.5])}) == 0.25


def test_scores_below_the_minimum_do_not_differ() -> None:
    reference = {"scores": array([0, 0.008, 0.5])}
    assert max_abs_difference(reference, {"scores": array([0.01, 0, 0.5])}) == 0
    difference = max_abs_difference(reference, {"scores": array([0.03, 0, 0.5])})
    assert difference == pytest.approx(0.02)
    broken = {"scores": array([np.nan, 0, 0.5])}
    assert max_abs_difference(reference, broken) == float("inf")


HEIGHTS = (0.95, 0.5, 1, 1) * 2
SERVED = NmsConfig(score_threshold=0.25, iou_threshold=0.7, max_detections=10)


def boxes(*rows: tuple[float, float, float, float], scores: object) -> Outputs:
    return {"boxes_xyxy": array([rows]), "scores": array([scores])}


def test_boxes_match_by_class_place_and_score() -> None:
    # four boxes, each twice: far from each other, all of the first class
    places = [(20.0 * i, 0.0, 20.0 * i + 10, 10.0) for i in range(8)]
    reference = boxes(*places, scores=[[0.9, 0]] * 8)
    moved = [
        (x1, y1, x2, y2 * height) for (x1, y1, x2, y2), height in zip(places, HEIGHTS, strict=True)
    ]
    candidate = boxes(*moved, scores=[[0.9, 0], [0.9, 0], [0.8, 0], [0, 0.9]] * 2)
    fidelity = measure(reference, candidate, SERVED)
    # the second is half as high, the third has another score, the fourth is of another class
    assert fidelity.metrics["box_recall"] == pytest.approx(0.25)
    assert fidelity.metrics["box_iou_mean"] == pytest.approx((0.95 + 0.5 + 1 + 0) / 4)
    assert fidelity.metrics["box_iou_p05"] == 0
    assert fidelity.metrics["score_difference"] == pytest.approx((0 + 0 + 0.1 + 0) / 4, abs=1e-6)
    equal = measure(reference, reference, SERVED)
    assert equal.metrics["box_recall"] == 1
    assert equal.loss == pytest.approx(0, abs=1e-6)


def test_with_too_few_boxes_metrics_are_nan_and_the_loss_still_ranks() -> None:
    places = ((0, 0, 10, 10), (20, 0, 30, 10))
    reference = boxes(*places, scores=[[0.9, 0.02], [0.15, 0]])
    blind = boxes(*places, scores=[[0, 0], [0, 0]])
    fidelity = measure(reference, blind, SERVED)
    assert all(math.isnan(fidelity.metrics[name]) for name in BOX_METRICS)
    assert fidelity.loss > 1
    assert measure(reference, reference, SERVED).loss == pytest.approx(0, abs=1e-6)
    (sentence,) = Tolerance(at_least={"box_recall": 0.9}).violations(fidelity.metrics)
    assert sentence.startswith("box_recall could not be measured on these samples; pass --calib")


def test_images_without_any_box_do_not_stop_the_search() -> None:
    nothing = boxes((0, 0, 0, 0), scores=[[0, 0]])
    assert measure(nothing, nothing, SERVED).loss == 0


def test_masks_of_small_range_are_left_out_of_iou_and_not_of_mae() -> None:
    reference, candidate = masks(square(20), square(10)), masks(square(20), square(5))
    for outputs in (reference, candidate):
        outputs["alpha_range"][1] = (0.0, 0.7)
    fidelity = measure(reference, candidate)
    assert fidelity.metrics["iou_mean"] == 1
    assert fidelity.metrics["mae"] == pytest.approx(75 / 800)


def test_without_rows_nothing_is_said_in_the_terms_of_the_task() -> None:
    outputs = {"probabilities": np.array([[0.9, 0.1]], np.float32)}
    assert "regret" in measure(outputs, outputs, rows=[0]).metrics
    assert "regret" not in measure(outputs, outputs, rows=[]).metrics
