"""A graph with QDQ pairs that runs on all samples piece by piece, from one layer to the next.

Between two pieces a sample is what later ones read: mostly bytes. So many samples fit in memory,
and each layer can be changed before they go through it.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import onnx
import onnxruntime as ort
from onnx import AttributeProto, helper, numpy_helper

from convert.quantize.layers import Array
from convert.quantize.learn.errors import LearningError
from runtime.engine.session import Feeds


@dataclass(frozen=True, slots=True)
class Piece:
    """Nodes that run together: one layer, at most, and what follows it."""

    layer: str  # name of its node; empty: none
    nodes: tuple[onnx.NodeProto, ...]
    reads: frozenset[str]  # of what earlier pieces write, and of the graph's inputs
    writes: tuple[str, ...]  # what later pieces read


@dataclass(frozen=True, slots=True)
class Rounded:
    """Values as a graph holds them: bytes, or floats of scale 1."""

    values: Array
    scale: float = 1.0
    zero_point: int = 0


class PieceWalk:
    """The samples on their way through the pieces of a graph."""

    def __init__(self, quantized: onnx.ModelProto, layers: Sequence[str]) -> None:
        """Cut a graph.

        Args:
            quantized: with QDQ pairs; may change before a piece of it runs, but for its names.
            layers: nodes that begin a piece each, in the order in which they run.

        Raises:
            LearningError: a node has a graph of its own.
        """
        if any(a.type == AttributeProto.GRAPH for n in quantized.graph.node for a in n.attribute):
            raise LearningError("a node has a graph of its own")
        self._model = quantized
        self._tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
        # read with their readers, so that bytes are kept
        self._dequantizers = {
            node.output[0]: node
            for node in quantized.graph.node
            if node.op_type == "DequantizeLinear"
        }
        self.pieces = self._cut(layers)

    def start(self, feeds: Sequence[Feeds]) -> list[dict[str, Array]]:
        """Return the samples before the first piece."""
        return [dict(sample) for sample in feeds]

    def run(self, piece: Piece, samples: Sequence[dict[str, Array]]) -> None:
        """Run a piece; each sample is then what later pieces read, in place."""
        session = self._session(piece, samples[0]) if piece.writes else None
        later = self._read_later(piece)
        for sample in samples:
            inputs = {name: sample[name] for name in piece.reads}
            results = session.run(piece.writes, inputs) if session else []
            for name in sample.keys() - later:
                del sample[name]
            sample.update(zip(piece.writes, results, strict=True))

    def read(self, name: str, sample: Mapping[str, Array]) -> Rounded:
        """Return a tensor that a node reads."""
        node = self._dequantizers.get(name)
        if node is None:
            return Rounded(sample[name])
        scale, zero = (numpy_helper.to_array(self._tensors[n]) for n in node.input[1:3])
        return Rounded(sample[node.input[0]], float(scale), int(zero))

    def most_bytes(self, sample: Feeds) -> int:
        """Run one sample; return the bytes that it has between two pieces, at most."""
        (values,) = self.start([sample])
        most = 0
        for piece in self.pieces:
            self.run(piece, [values])
            most = max(most, sum(array.nbytes for array in values.values()))
        return most

    def _source(self, name: str) -> str:
        node = self._dequantizers.get(name)
        return name if node is None else node.input[0]

    def _sources(self, nodes: Iterable[onnx.NodeProto]) -> set[str]:
        read = {self._source(name) for node in nodes for name in node.input if name}
        return read - self._tensors.keys()

    def _cut(self, layers: Sequence[str]) -> list[Piece]:
        parts: list[list[onnx.NodeProto]] = [[]]
        for node in self._in_order({name: place for place, name in enumerate(layers)}):
            if node.name in layers:
                parts.append([])
            parts[-1].append(node)
        later: set[str] = set()
        pieces = []
        for nodes in reversed(parts):
            written = [name for node in nodes for name in node.output]
            reads = self._sources(nodes) - set(written)
            layer = nodes[0].name if nodes and nodes[0].name in layers else ""
            writes = tuple(name for name in written if name in later)
            pieces.append(Piece(layer, tuple(nodes), frozenset(reads), writes))
            later |= reads
        return pieces[::-1]

    def _in_order(self, places: Mapping[str, int]) -> Iterator[onnx.NodeProto]:
        """Yield the nodes but DequantizeLinear; a layer only when nothing else can run."""
        nodes = [node for node in self._model.graph.node if node.op_type != "DequantizeLinear"]
        writers = {name: i for i, node in enumerate(nodes) for name in node.output}
        waits = [{writers[n] for n in self._sources([node]) if n in writers} for node in nodes]
        readers: dict[int, list[int]] = {}
        for index, sources in enumerate(waits):
            for source in sources:
                readers.setdefault(source, []).append(index)
        ready = [(places.get(nodes[i].name, -1), i) for i, wait in enumerate(waits) if not wait]
        heapq.heapify(ready)
        while ready:
            _, index = heapq.heappop(ready)
            yield nodes[index]
            for reader in readers.get(index, []):
                waits[reader].discard(index)
                if not waits[reader]:
                    heapq.heappush(ready, (places.get(nodes[reader].name, -1), reader))

    def _read_later(self, piece: Piece) -> frozenset[str]:
        position = self.pieces.index(piece)
        return frozenset().union(*(later.reads for later in self.pieces[position + 1 :]))

    def _session(self, piece: Piece, sample: Mapping[str, Array]) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would outlive its piece
        graph = self._graph(piece, sample).SerializeToString()
        return ort.InferenceSession(graph, options, ["CPUExecutionProvider"])

    def _graph(self, piece: Piece, sample: Mapping[str, Array]) -> onnx.ModelProto:
        names = dict.fromkeys(name for node in piece.nodes for name in node.input)
        nodes = [self._dequantizers[name] for name in names if name in self._dequantizers]
        nodes += piece.nodes
        read = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "piece",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(sample[name].dtype), sample[name].shape
                )
                for name in piece.reads
            ],
            [onnx.ValueInfoProto(name=name) for name in piece.writes],
            [tensor for name, tensor in self._tensors.items() if name in read],
        )
        return helper.make_model(
            graph,
            ir_version=self._model.ir_version,
            opset_imports=deepcopy(list(self._model.opset_import)),
        )
