"""Voice emotion: folders of every kind, parity with transformers, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from convert.errors import CheckpointError, LabelsError
from convert.export.graph.surgery import canonicalize
from convert.export.numerics import attach
from convert.recipe import Loaded, find, output_shapes
from convert.samples.procedural.voices import generate_voice
from convert.samples.sets import collate
from convert.verify.parity import batch_invariant, check_parity, run_graph
from runtime.engine.session import Session
from tests.convert.support.voice_folders import (
    GROUP,
    LABELS,
    STABLE,
    edit,
    voice_module,
    write_folder,
)

RECIPE = find("voice_emotion_wav2vec2").recipe
TOLERANCE = 1e-4  # of probabilities, as every conversion is held to


def answer(session: Session, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
    return session.run({"waveform": waveforms})["probabilities"].astype(np.float32)


def export(loaded: Loaded, path: Path) -> Session:
    """Write the float graph of a recipe, as the pipeline does."""
    tensors = loaded.head.tensors(output_shapes(loaded), loaded.input.tensors)
    core = canonicalize(loaded.network.export(), prefix="net/")
    onnx.save(attach(core, input=loaded.input, head=loaded.head, outputs=tensors), path)
    return Session(path)


def expected(module: Any, waveform: Any, *, standardize: bool = True) -> Any:
    """Probabilities by transformers' own preprocessing, and by its module as it was before."""
    import torch

    from convert.export.frameworks.hugging_face import import_transformers

    extractor = import_transformers().Wav2Vec2FeatureExtractor(do_normalize=standardize)
    features = extractor(waveform, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        return torch.softmax(module(features.input_values).logits, dim=1).numpy()


@pytest.mark.parametrize("settings", [GROUP, STABLE], ids=["group norm", "stable layer norm"])
@pytest.mark.parametrize("standardize", [True, False])
def test_graph_equals_transformers(
    tmp_path: Path, settings: dict[str, Any], *, standardize: bool
) -> None:
    module = voice_module(**settings).eval()
    loaded = RECIPE.load(write_folder(tmp_path, module, do_normalize=standardize))
    session = export(loaded, tmp_path / "graph.onnx")

    answers = []
    for index, seconds in enumerate((0.1, 1.0, 3.3, 10.0)):
        waveform = generate_voice(np.random.default_rng(index), seconds=seconds)
        output = answer(session, waveform[np.newaxis])
        answers.append(output)
        reference = expected(module, waveform, standardize=standardize)
        np.testing.assert_allclose(output, reference, atol=TOLERANCE, rtol=0)
        raw = loaded.network.forward(*loaded.input.apply(waveform[np.newaxis]))
        ours = loaded.head.apply(*raw)["probabilities"]
        np.testing.assert_allclose(ours, reference, atol=1e-5, rtol=0)
    assert np.ptp(np.concatenate(answers), axis=0).max() > 0.02, "answers differ between voices"
    assert loaded.labels == LABELS


def test_equal_lengths_make_a_batch(tmp_path: Path) -> None:
    loaded = RECIPE.load(write_folder(tmp_path, voice_module(**GROUP)))
    session = export(loaded, tmp_path / "graph.onnx")
    waveforms = np.stack([generate_voice(np.random.default_rng(i), seconds=1.7) for i in range(3)])

    together = answer(session, waveforms)

    alone = [answer(session, row[np.newaxis]) for row in waveforms]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5, rtol=0)


def test_weights_as_bin_in_the_older_names(tmp_path: Path) -> None:
    import torch

    module = voice_module(**GROUP)
    folder = write_folder(tmp_path, module)
    safe = RECIPE.load(folder).network.weights()
    older = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in module.state_dict().items()
    }
    assert "wav2vec2.encoder.pos_conv_embed.conv.weight_g" in older
    older["wav2vec2.masked_spec_embed"] = torch.zeros(32)  # of training
    (folder / "model.safetensors").unlink()
    torch.save(older, folder / "pytorch_model.bin")

    weights = RECIPE.load(folder).network.weights()

    assert weights.keys() == safe.keys()
    for name, array in safe.items():
        np.testing.assert_array_equal(weights[name], array)


def test_weights_in_parts(tmp_path: Path) -> None:
    module = voice_module(**GROUP)
    whole = RECIPE.load(write_folder(tmp_path / "whole", module)).network.weights()
    (tmp_path / "parts").mkdir()
    folder = write_folder(tmp_path / "parts", module)
    (folder / "model.safetensors").unlink()
    module.save_pretrained(folder, max_shard_size="20KB")
    assert (folder / "model.safetensors.index.json").is_file()

    weights = RECIPE.load(folder).network.weights()

    assert all((weights[name] == array).all() for name, array in whole.items())


def test_sampling_rate_of_the_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, voice_module(**GROUP), sampling_rate=8000)

    (step,) = RECIPE.load(folder).preprocess

    assert getattr(step, "sampling_rate", None) == 8000


def test_settings_inside_processor_config(tmp_path: Path) -> None:
    import json

    folder = write_folder(tmp_path, voice_module(**GROUP))
    settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    (folder / "preprocessor_config.json").unlink()
    text = json.dumps({"feature_extractor": {**settings, "sampling_rate": 8000}})
    (folder / "processor_config.json").write_text(text, encoding="utf-8")

    (step,) = RECIPE.load(folder).preprocess

    assert getattr(step, "sampling_rate", None) == 8000


def test_placeholder_labels_are_unknown(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, voice_module(**GROUP))
    edit(folder / "config.json", id2label={str(i): f"LABEL_{i}" for i in range(4)}, label2id=None)

    assert RECIPE.load(folder).labels == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["Wav2Vec2ForSpeechClassification"]}, "needed: Wav2Vec2ForSequence"),
        ({"architectures": ["Wav2Vec2ForCTC"]}, "architecture Wav2Vec2ForCTC"),
        ({"architectures": None}, "architecture none, model_type wav2vec2"),
        ({"problem_type": "regression"}, "problem_type is 'regression'"),
        ({"add_adapter": True}, "transformers cannot build its network"),
        ({"conv_dim": [32, 32]}, "transformers cannot build its network"),
        ({"num_hidden_layers": 3}, r"16 missing \(wav2vec2\.encoder\.layers\.2"),
        ({"id2label": {"0": "a", "1": "b"}}, "the file has 4 classes, this model 2"),
    ],
)
def test_a_folder_of_another_network(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = write_folder(tmp_path, voice_module(**GROUP))
    edit(folder / "config.json", **changes)

    with pytest.raises(CheckpointError, match=message):
        RECIPE.load(folder)


def test_one_label_twice(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, voice_module(**GROUP))
    edit(folder / "config.json", id2label={"0": "a", "1": "a", "2": "b", "3": "c"})

    with pytest.raises(LabelsError, match="is listed twice"):
        RECIPE.load(folder)


def test_code_of_the_folder_is_not_run(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, voice_module(**GROUP))
    edit(folder / "config.json", auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    witness = tmp_path / "witness"
    (folder / "evil.py").write_text(f"open({str(witness)!r}, 'w')\n", encoding="utf-8")

    loaded = RECIPE.load(folder)

    assert loaded.labels == LABELS
    assert not witness.exists()


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    import torch

    folder = write_folder(tmp_path, voice_module(**GROUP))
    (folder / "model.safetensors").unlink()
    torch.save({"a": Path("x"), "run": print}, folder / "pytorch_model.bin")

    with pytest.raises(CheckpointError, match="would have to run code"):
        RECIPE.load(folder)


def test_without_the_preprocessor(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, voice_module(**GROUP))
    (folder / "preprocessor_config.json").unlink()

    with pytest.raises(CheckpointError, match=r"holds no preprocessor_config\.json"):
        RECIPE.load(folder)


def test_tensorflow_stays_out() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from convert.export.frameworks.hugging_face import import_transformers; "
        "import_transformers().Wav2Vec2ForSequenceClassification; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_recordings_of_several_lengths_calibrate_and_judge(tmp_path: Path, shared: Path) -> None:
    from convert.samples import sets as calibration

    loaded = RECIPE.load(write_folder(tmp_path, voice_module(**GROUP)))
    media = calibration.from_files(
        calibration.find_media(shared / "data/speech", RECIPE), RECIPE, loaded
    )
    path = tmp_path / "graph.onnx"
    export(loaded, path)
    longest_first = sorted(media.validation, key=lambda feeds: -feeds["waveform"].size)
    answers = [
        loaded.head.apply(*loaded.network.forward(*loaded.input.apply(feeds["waveform"])))
        for feeds in longest_first
    ]

    errors = check_parity(collate(answers), run_graph(path, longest_first))

    assert longest_first[0]["waveform"].size > longest_first[1]["waveform"].size
    assert max(errors.values()) <= TOLERANCE
    assert batch_invariant(path, longest_first)
