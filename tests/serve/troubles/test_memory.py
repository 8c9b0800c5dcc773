"""Every model in turn within 512 MiB, beside all troubles: nothing is killed, lost or wrong.

With SLIPWAY_ARTIFACTS the models of that directory, as `make soak` names it; else the tiny ones.
"""

import asyncio
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.artifact.golden import read_golden
from serve.repository.scan import list_models
from tests.serve.troubles.support import wire
from tests.serve.troubles.support.beside import troubles_beside
from tests.serve.troubles.support.cgroup import Cgroup
from tests.serve.troubles.support.load import RAW, Question, closed_loop, result_of
from tests.serve.troubles.support.media import photos
from tests.serve.troubles.support.scale import CGROUP_BYTES, Scale
from tests.serve.troubles.support.server import started
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import ask, post

CLIENTS = 8
LOW_MIB = 384
MOST_BYTES = CGROUP_BYTES - 32 * 2**20
LARGEST_CLIP = (2304, 4096)  # height and width in px


def largest_clip(folder: Path) -> bytes:
    path = folder / "largest.mp4"
    height, width = LARGEST_CLIP
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (width, height))
    for level in range(20):
        writer.write(np.full((height, width, 3), 10 * level, np.uint8))
    writer.release()  # complete only then
    return path.read_bytes()


def requests(artifacts: Path, folder: Path) -> list[bytes]:
    """Return a request for each golden sample of each model, for photos, and the largest clip."""
    bodies = [
        post(f"/v1/models/{entry.id}", bytes(data), RAW)
        for entry in list_models(artifacts, allow_seeded=True).entries
        for data in read_golden(entry.versions[0].directory, entry.versions[0].manifest).media[:4]
    ]
    pictures = [post("/v1/face-emotion", data, RAW) for data in photos(3)]
    return [*bodies, *pictures, post("/v1/gait", largest_clip(folder), RAW)]


def right_answers(port: int, requests: list[bytes]) -> list[Question]:
    """Ask an idle server, one request after the other."""
    catalogue = []
    for request in requests:
        answer = ask(port, request)
        assert answer is not None
        assert answer.status == 200, answer.body[:300]
        catalogue.append(Question(request, result_of(answer)))
    return catalogue


@pytest.mark.parametrize("limit", ["cgroup", "setting"])
def test_every_model_in_turn(
    tiny: Path, cgroup: Cgroup | None, scale: Scale, figures: Figures, tmp_path: Path, limit: str
) -> None:
    named = os.environ.get("SLIPWAY_ARTIFACTS", "")
    artifacts = Path(named) if scale.soak and named else tiny
    # the setting is so low that models of a real size are loaded and unloaded all the time
    setting = {} if limit == "cgroup" else {"SLIPWAY_MEMORY_MIB": str(LOW_MIB)}
    most_bytes = MOST_BYTES if limit == "cgroup" else LOW_MIB * 2**20
    seconds = scale.memory_s if limit == "cgroup" else scale.memory_s / 5
    settings = {"SLIPWAY_ALLOW_SEEDED": "1", "SLIPWAY_DECODE_TIMEOUT": "60", **setting}
    killed = cgroup.oom_kills if cgroup else 0
    with started(artifacts, tmp_path / "log", cgroup=cgroup, settings=settings) as server:
        catalogue = right_answers(server.port, requests(artifacts, tmp_path))
        with troubles_beside(server, scale) as beside:
            tally = asyncio.run(
                closed_loop(server.port, catalogue, clients=CLIENTS, seconds=seconds)
            )
        figures.at_most(
            "memory of all processes", server.samples.highest_mb, most_bytes / 1e6, "MB"
        )
        figures.at_most("with queues of sockets", beside.highest_mb, most_bytes / 1e6, "MB")
        figures.equal("troubles that failed", beside.failures, [])
        figures.show("troubles beside", beside.rounds.total(), "rounds")
        answer = wire.get(server.port, "/v1/memory")
        assert answer is not None
        content = json.loads(answer.body)
        figures.equal("server ended", server.process.poll(), None)
    if cgroup is not None:
        figures.equal("oom_kill", cgroup.oom_kills - killed, 0)
    figures.equal("wrong", tally.wrong, 0)
    figures.equal("lost", tally.lost, 0)
    figures.equal("other than 200, 429, 503", tally.other, [])
    figures.at_least("right", tally.right, len(catalogue), "answers")
    figures.show("evictions", content["evictions"], "models")
    figures.at_most("refused", tally.refused, tally.right, "answers")
