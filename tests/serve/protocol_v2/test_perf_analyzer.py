"""The requests of perf_analyzer, in its order: metadata, configuration, counters, infer, counters.

What it reads of the answers is written down in the documents of Triton's protocol and in its own.
"""

import json
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

LENGTH = "Inference-Header-Content-Length"
MODEL = "/v2/models/tiny_tensors"


def test_a_measurement(client: httpx.Client) -> None:
    assert "statistics" in client.get("/v2").json()["extensions"]
    metadata, config = client.get(MODEL).json(), client.get(f"{MODEL}/config").json()
    # with a batch size, the first axis of the metadata is the batch, and it sends rows of `dims`
    assert config["max_batch_size"] >= 8
    for entry, description in zip(config["input"], metadata["inputs"], strict=True):
        assert entry["dims"] == description["shape"][1:]
    assert not {"sequence_batching", "ensemble_scheduling"} & config.keys()
    assert config["model_transaction_policy"] == {"decoupled": False}

    before = client.get(f"{MODEL}/versions/1/stats").json()["model_stats"][0]
    arrays: list[NDArray[Any]] = [np.ones((8, 2), np.float32), np.ones((8, 2), np.int64)]
    inputs = [
        {
            "name": entry["name"],
            "shape": [8, *config_entry["dims"]],
            "datatype": entry["datatype"],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for entry, config_entry, array in zip(
            metadata["inputs"], config["input"], arrays, strict=True
        )
    ]
    outputs = [
        {"name": entry["name"], "parameters": {"binary_data": True}}
        for entry in metadata["outputs"]
    ]
    head = json.dumps({"id": "1_0", "inputs": inputs, "outputs": outputs}).encode()
    headers = {LENGTH: str(len(head)), "Content-Type": "application/octet-stream", "Accept": "*/*"}
    body = head + b"".join(array.tobytes() for array in arrays)
    for _ in range(3):
        answer = client.post(f"{MODEL}/versions/1/infer", content=body, headers=headers)
        assert answer.status_code == 200
        assert json.loads(answer.content[: int(answer.headers[LENGTH])])["id"] == "1_0"

    after = client.get(f"{MODEL}/versions/1/stats").json()["model_stats"][0]
    assert (after["name"], after["version"]) == ("tiny_tensors", "1")
    assert after["inference_count"] - before["inference_count"] == 24
    assert after["execution_count"] - before["execution_count"] == 3
    for name in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        first, second = before["inference_stats"][name], after["inference_stats"][name]
        assert second["count"] - first["count"] == 3
        assert second["ns"] >= first["ns"]
    assert {"cache_hit", "cache_miss"} <= after["inference_stats"].keys()
