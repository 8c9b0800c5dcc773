"""The distance of a quantized graph from the float graph on the samples, as a loss."""

from collections.abc import Mapping, Sequence

import onnx
import torch
from torch import Tensor

from convert.quantize.learn.torch_graph import TorchGraph
from runtime.engine.session import Feeds

SAMPLED_VALUES = 2048  # of a tensor inside of the graph, and of a sample: memory stays small
INSIDE = 1.0  # weight of all tensors inside of the graph together; the outputs have 1
SMALLEST_SQUARE = 1e-12


class Imitation:
    """The distance of a graph's tensors from those of the float graph, sample by sample."""

    def __init__(
        self, model: onnx.ModelProto, feeds: Sequence[Feeds], inside: Mapping[str, str]
    ) -> None:
        """Run the float graph on every sample and keep its outputs and some values inside.

        Args:
            model: the float graph.
            feeds: one sample each.
            inside: tensors of the quantized graph, and the names of their targets in `model`.

        Raises:
            UnknownOperatorError: an operator of the graph is not known.
        """
        written = {name for node in model.graph.node for name in node.output}
        self._inside = {name: target for name, target in inside.items() if target in written}
        self._outputs = [value.name for value in model.graph.output]
        self.names = frozenset({*self._inside, *self._outputs})
        graph = TorchGraph(model)
        wanted = {*self._inside.values(), *self._outputs}
        self._targets = []
        with torch.no_grad():
            for sample in feeds:
                tensors = graph.run(sample, wanted)
                some = {name: _some(tensors[name]).clone() for name in self._inside.values()}
                self._targets.append(some | {name: tensors[name] for name in self._outputs})
        self._squares = {
            name: max(_mean_square([targets[name] for targets in self._targets]), SMALLEST_SQUARE)
            for name in wanted
        }

    def loss(self, index: int, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the squared distance from float, of the outputs and inside, by each mean square.

        Args:
            index: of the sample.
            tensors: all of `names`, of the quantized graph.
        """
        targets = self._targets[index]
        outputs = [self._error(name, tensors[name], targets[name]) for name in self._outputs]
        inside = [
            self._error(target, _some(tensors[name]), targets[target])
            for name, target in self._inside.items()
        ]
        loss = torch.stack(outputs).sum()
        return loss + INSIDE * torch.stack(inside).mean() if inside else loss

    def _error(self, name: str, values: Tensor, targets: Tensor) -> Tensor:
        return (values - targets).square().mean() / self._squares[name]


def _some(tensor: Tensor) -> Tensor:
    step = max(tensor.numel() // SAMPLED_VALUES, 1) | 1  # odd: widths are mostly even
    return tensor.reshape(-1)[::step]


def _mean_square(tensors: Sequence[Tensor]) -> float:
    return float(torch.cat([tensor.reshape(-1).float() for tensor in tensors]).square().mean())
