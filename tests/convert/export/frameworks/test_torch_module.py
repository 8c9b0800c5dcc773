"""torch modules as networks."""

from collections.abc import Callable

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.errors import ConvertError, RecipeError
from convert.export.frameworks.torch_module import TorchNetwork
from tests.convert.support.graphs import random_images, run_graph

# float32 sums in another order, of values around 1
TOLERANCE = 1e-5


def test_export_equals_forward_for_any_batch_size() -> None:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Upsample(scale_factor=2)
    )
    network = TorchNetwork(module, input_shape=(3, 8, 8))
    model = network.export()
    for count in (1, 3):
        batch = random_images(count)
        np.testing.assert_allclose(
            run_graph(model, batch), network.forward(batch)[0], atol=TOLERANCE
        )


def test_method_other_than_forward_is_exported() -> None:
    class Net(torch.nn.Module):
        def embed(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(2, 3)) * 2

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError

    network = TorchNetwork(Net(), input_shape=(3, 8, 8), method="embed")
    batch = random_images(2)
    expected = batch.mean(axis=(2, 3)) * 2
    np.testing.assert_allclose(network.forward(batch)[0], expected, atol=TOLERANCE)
    np.testing.assert_allclose(run_graph(network.export(), batch), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("outputs_of", "message"),
    [
        (lambda x: {"logits": x}, "the module returns dict; the recipe says 1 tensors"),
        (lambda x: (x, x), "the module returns Tensor, Tensor; the recipe says 1 tensors"),
        (lambda x: x.numpy(), "the module returns ndarray; the recipe says 1 tensors"),
    ],
    ids=["dict", "two", "numpy"],
)
def test_module_that_returns_no_tensor_or_too_many_is_refused(
    outputs_of: Callable[[torch.Tensor], object], message: str
) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> object:
            return outputs_of(x)

    with pytest.raises(RecipeError, match=message):
        TorchNetwork(Net(), input_shape=(3, 8, 8)).forward(random_images(1))


def test_operator_without_onnx_form_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(x.mean(1))

    with pytest.raises(ConvertError, match=r"torch cannot export the module: .*linalg_svdvals"):
        TorchNetwork(Net(), input_shape=(3, 8, 8)).export()
    assert capfd.readouterr() == ("", "")  # torch would print the graph


def test_dropout_is_off() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5)).train()
    network = TorchNetwork(module, input_shape=(3, 8, 8))
    batch = random_images(1)
    np.testing.assert_array_equal(network.forward(batch)[0], batch.reshape(1, -1))
