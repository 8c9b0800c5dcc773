import numpy as np
import onnxruntime
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.architectures.gait_student import FRAMES, SIDE, GaitStudent
from convert.frameworks.torch_module import TorchNetwork
from convert.walkers import SAMPLES, clip

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
    assert sum(p.numel() for p in student.parameters()) < 1_200_000  # 2.4 MB in half precision


def test_nothing_known_leaves_the_features_as_they_are(student: GaitStudent) -> None:
    features = torch.rand(2, 256, FRAMES, 1)
    with torch.inference_mode():
        assert torch.equal(student.film(features, torch.zeros(2, 384)), features)
        assert not torch.allclose(student.film(features, _conditions(2)), features)


def test_clip_order_of_frames_and_condition_all_matter(student: GaitStudent) -> None:
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
        given = _frames(*range(count)).numpy(), _conditions(count).numpy()
        names = [tensor.name for tensor in session.get_inputs()]
        (found,) = session.run(None, dict(zip(names, given, strict=True)))
        np.testing.assert_allclose(found, network.forward(*given)[0], atol=1e-4)


def _frames(*indices: int) -> torch.Tensor:
    clips = np.stack([clip(SAMPLES, index).frames for index in indices])
    return torch.from_numpy(clips).permute(0, 1, 4, 2, 3).float()


def _conditions(count: int) -> torch.Tensor:
    values = np.random.default_rng(0).standard_normal((count, 384), np.float32)
    return torch.from_numpy(values / np.linalg.norm(values, axis=1, keepdims=True))
