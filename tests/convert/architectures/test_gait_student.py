import numpy as np
import onnxruntime
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.architectures.gait_student import FRAMES, SIDE, GaitStudent, Joints
from convert.export.frameworks.torch_module import TorchNetwork
from convert.samples.walkers import SAMPLES, generate_clip

INPUTS = {"frames": (FRAMES, 3, SIDE, SIDE), "condition": (384,)}


@pytest.fixture(scope="module")
def student() -> GaitStudent:
    """Untrained, but with statistics of real clips: nothing in it is blank."""
    torch.manual_seed(0)
    module = GaitStudent()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        module(_frames(0, 1, 2), _conditions(3))
    return module.eval()


def test_it_is_small(student: GaitStudent) -> None:
    assert sum(p.numel() for p in student.parameters()) < 1_300_000  # 2.6 MB in half precision


def test_an_unknown_condition_leaves_the_features_unchanged(student: GaitStudent) -> None:
    features = torch.rand(2, 128, FRAMES, 1)
    with torch.inference_mode():
        assert torch.equal(student.film(features, torch.zeros(2, 384)), features)
        assert not torch.allclose(student.film(features, _conditions(2)), features)


def test_frames_their_order_and_the_condition_all_matter(student: GaitStudent) -> None:
    frames, condition = _frames(0), _conditions(1)
    with torch.inference_mode():
        logits = student(frames, condition)
        others = [
            student(_frames(1), condition),
            student(frames[:, [*range(0, FRAMES, 2), *range(1, FRAMES, 2)]], condition),
            student(frames, _conditions(2)[1:]),
        ]
    assert logits.shape == (1, 6)
    for other in others:
        assert (other - logits).abs().max() > 1e-3


def test_position_and_size_of_the_walker_do_not_matter(student: GaitStudent) -> None:
    pose, condition = torch.rand(2, FRAMES, 2, 19), _conditions(2)
    with torch.inference_mode():
        here, moved, smaller, other = (
            student.classify(poses, condition)
            for poses in (pose, 0.1 + pose, 0.5 * pose, pose.flip(1))
        )
        torch.testing.assert_close(moved, here, atol=1e-3, rtol=0)  # float32 sums
        # the guard against a size of nothing weighs more on smaller walkers
        assert (smaller - here).abs().max() < 0.5 * (other - here).abs().max()
        assert student.classify(0 * pose, condition).isfinite().all()


def test_joints_are_found_where_features_point(student: GaitStudent) -> None:
    joints = Joints(4)
    with torch.no_grad():
        for parameter in joints.parameters():
            parameter.zero_()
        joints.likely.weight[:, 0] = 50.0  # the first channel says where
        joints.get_parameter("offset.bias")[:19] = 0.01  # to the right of the place's middle
        features = torch.zeros(1, 4, 7, 7)
        features[0, 0, 2, 5] = 1.0  # third row, sixth column
        positions = joints(features)
    assert positions.shape == (1, 2, 19)
    torch.testing.assert_close(positions[0, 0], torch.full((19,), 5.5 / 7 + 0.01))
    torch.testing.assert_close(positions[0, 1], torch.full((19,), 2.5 / 7))


def test_rows_do_not_depend_on_each_other(student: GaitStudent) -> None:
    frames, conditions = _frames(0, 1), _conditions(2)
    with torch.inference_mode():
        together = student(frames, conditions)
        alone = [student(f[None], c[None]) for f, c in zip(frames, conditions, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)  # float32 sums


def test_it_exports_with_a_free_batch_axis(student: GaitStudent) -> None:
    network = TorchNetwork(student, inputs=INPUTS)
    session = onnxruntime.InferenceSession(network.export().SerializeToString())
    for count in (1, 3):
        inputs = _frames(*range(count)).numpy(), _conditions(count).numpy()
        names = [tensor.name for tensor in session.get_inputs()]
        (logits,) = session.run(None, dict(zip(names, inputs, strict=True)))
        np.testing.assert_allclose(logits, network.forward(*inputs)[0], atol=1e-4)


def _frames(*indices: int) -> torch.Tensor:
    clips = np.stack([generate_clip(SAMPLES, index).frames for index in indices])
    return torch.from_numpy(clips).permute(0, 1, 4, 2, 3).float()


def _conditions(count: int) -> torch.Tensor:
    values = np.random.default_rng(0).standard_normal((count, 384), np.float32)
    return torch.from_numpy(values / np.linalg.norm(values, axis=1, keepdims=True))
