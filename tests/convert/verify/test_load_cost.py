"""Peak memory of a graph in a process of its own."""

from pathlib import Path

import pytest

from convert.errors import VerificationError
from convert.verify.load_cost import peak_bytes
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


def test_peak_memory_grows_with_the_weights(tmp_path: Path) -> None:
    peaks = []
    for width in (8, 512):
        path = tmp_path / f"{width}.onnx"
        write_float_graph(nets.loaded(nets.convolutions(layers=3, width=width)), path)
        peaks.append(peak_bytes(path, nets.sample_sets().validation[0]))
    # two layers of 512 x 512 x 9 float32 are 19 MB
    assert peaks[1] - peaks[0] > 15_000_000


def test_a_graph_that_does_not_load_is_refused_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(VerificationError, match=r"broken\.onnx in a process of its own: .*refused"):
        peak_bytes(broken, nets.sample_sets().validation[0])
