"""Requests that share runs, of clients that stay and of clients that leave."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support import load
from tests.serve.troubles.support.growth import trouble
from tests.serve.troubles.support.load import Question, Tally
from tests.serve.troubles.support.media import colours
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.server import Server
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import get, post
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    TENSORS,
    TEXT,
    VOICE,
    record_batch_times,
    write_artifact,
)

PAYS = {1: 10.0, 2: 11.0, 4: 12.0, 8: 13.0, 16: 14.0}  # ms of a run by its rows
EMBED, TEXTS = "/v1/models/image_embedding_mobilenetv2", "/v1/models/clinical_text_minilm"
INFER = "/v2/models/tiny_tensors/infer"
JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def joining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write models whose rows get cheaper in a batch, as their artifacts say."""
    root = tmp_path_factory.mktemp("joining")
    for graph in (CLASSIFIER, EMBEDDING, TENSORS, TEXT, VOICE):
        record_batch_times(write_artifact(root, graph), PAYS)
    return root


def tensors(value: int, rows: int, output: str) -> bytes:
    """Return an infer request for one output of rows with value / 4 and value * 2."""
    values, counts = [float(value)] * 2 * rows, [4 if output == "quotients" else value] * 2 * rows
    inputs = (
        f'{{"name": "values", "datatype": "FP32", "shape": [{rows}, 2], "data": {values}}}, '
        f'{{"name": "counts", "datatype": "INT64", "shape": [{rows}, 2], "data": {counts}}}'
    )
    return f'{{"inputs": [{inputs}], "outputs": [{{"name": "{output}"}}]}}'.encode()


def infer_question(value: int, rows: int) -> Question:
    """Return a request whose answer is computed here; every fifth asks for the other output."""
    if value % 5:
        return Question(
            post(INFER, tensors(value, rows, "quotients"), JSON), [value / 4] * 2 * rows
        )
    return Question(post(INFER, tensors(value, rows, "doubled"), JSON), [value * 2] * 2 * rows)


def counts(server: Server) -> tuple[int, int]:
    """Return the rows and the runs of the infer requests so far."""
    answer = get(server.port, "/v2/models/tiny_tensors/stats")
    assert answer is not None
    (entry,) = answer.json()["model_stats"]
    return entry["inference_count"], entry["execution_count"]


def catalogue_of(server: Server) -> list[Question]:
    """Return requests of three models and two protocols, no two with one answer."""
    catalogue = [infer_question(value, 1 + value % 3) for value in range(1, 121)]
    catalogue += load.questions(server.port, EMBED, colours(60))
    words = ("walk", "walking slowly", "slow", "walk slow", "slowly", "walking", "e", "walk e")
    catalogue += load.questions(server.port, TEXTS, [word.encode() for word in words] * 4)
    random.Random(0).shuffle(catalogue)
    return catalogue


def test_rows_never_mix(start: Starter, joining: Path, scale: Scale, figures: Figures) -> None:
    """Clients that stay get their own answers, whoever shares a run with them and leaves."""
    server = start(joining, settings={"SLIPWAY_RUNS": "2", "SLIPWAY_QUEUE_SECONDS": "60"})
    catalogue = catalogue_of(server)
    tally, clients, turns = Tally(), 48, 400 if scale.soak else 8

    async def client(number: int) -> None:
        generator = random.Random(number)
        for turn in range(turns):
            question = catalogue[(number * 31 + turn) % len(catalogue)]
            leaves = number % 4 == 0
            patience_s = generator.choice((0.002, 0.01, 0.03)) if leaves else 60.0
            await load.ask_once(server.port, question, tally, patience_s=patience_s)

    async def all_clients() -> None:
        await asyncio.gather(*(client(number) for number in range(clients)))

    with trouble(server, figures):
        asyncio.run(all_clients())
        rows, runs = counts(server)
    stay = sum(number % 4 != 0 for number in range(clients))
    figures.equal("wrong rows", tally.wrong, 0)
    figures.equal("requests lost", tally.lost, 0)
    figures.equal("answers other than 200", [*sorted(set(tally.other)), tally.refused], [0])
    figures.at_least("right answers", tally.right, stay * turns)
    figures.at_least("rows of a run", round(rows / max(1, runs), 2), 2.3)  # without joining: 2
