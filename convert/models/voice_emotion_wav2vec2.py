"""Wav2Vec2 voice emotion: any Wav2Vec2ForSequenceClassification, from its Hugging Face folder.

The folder says everything: config.json the architecture and the labels, preprocessor_config.json
the sampling rate and whether waveforms are standardised, model.safetensors or pytorch_model.bin
(or either in parts) the weights. The reference is transformers' own module.

Sounds are not padded and there is no attention mask: networks of the base size (group norm) were
trained without one, and padding changes their answers. So only equal lengths make a batch.

Source: transformers 4.57, modeling_wav2vec2.py and feature_extraction_wav2vec2.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.checkpoint import load_strictly
from convert.checkpoint.folder import CONFIG, read_settings, read_weights
from convert.checkpoint.labels import in_order
from convert.errors import CheckpointError, LabelsError
from convert.export.frameworks.hugging_face import TransformersNetwork, transformers
from convert.export.numerics import Probabilities, WaveformInput
from convert.recipe import Loaded, Recipe, Tolerance
from convert.sources import HubSource
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import Resample
from runtime.errors import one_line

ARCHITECTURE = "Wav2Vec2ForSequenceClassification"
PREPROCESSOR = "preprocessor_config.json"
# newer folders have the settings there, under "feature_extractor"
PROCESSOR = "processor_config.json"
# RAVDESS's
LABELS = ("angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
SAMPLING_RATE = 16_000  # Hz
# what masks the input in training; the network does not compute it otherwise
TRAINING_ONLY = ("*masked_spec_embed",)
# of weight normalisation, as torch named them before 2.0 and since
OLDER_NAMES = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}
RESIDUAL_WEIGHTS = ("*.attention.out_proj.weight", "*.feed_forward.output_dense.weight")


def _load(path: Path) -> Loaded:
    settings = read_settings(path)
    _check_architecture(settings, path)
    extractor = _extractor(path)
    module = build(settings, path=path)
    state = {_newer(name): tensor for name, tensor in read_weights(path).items()}
    load_strictly(module, state, path=path, ignore=TRAINING_ONLY)
    return _around(
        module,
        labels=_labels(settings, path=path),
        sampling_rate=_number(extractor, "sampling_rate", path),
        standardize=bool(extractor.get("do_normalize", True)),
    )


def build(settings: Mapping[str, Any], *, path: Path) -> Any:
    """The module of a config.json, weights as they come.

    Raises:
        CheckpointError: transformers refuses the settings.
    """
    library = transformers()
    # nothing of training; attention as the plain products that the exporter knows
    chosen = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "attn_implementation": "eager"}
    try:
        config = library.Wav2Vec2Config.from_dict({**settings, **chosen})
        with library.modeling_utils.no_init_weights():
            return library.Wav2Vec2ForSequenceClassification(config)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path / CONFIG}: no network can be built of it: {one_line(error)}"
        ) from error


def _check_architecture(settings: Mapping[str, Any], path: Path) -> None:
    named = settings.get("architectures") or [f"none, model_type {settings.get('model_type')}"]
    if named != [ARCHITECTURE]:
        found = ", ".join(map(str, named))
        raise CheckpointError(f"{path / CONFIG}: architecture {found}; needed: {ARCHITECTURE}")
    kind = settings.get("problem_type")
    if kind not in (None, "single_label_classification"):
        raise CheckpointError(
            f"{path / CONFIG}: problem_type is {kind!r}; needed: single_label_classification"
        )


def _extractor(path: Path) -> Mapping[str, Any]:
    """Settings of the folder's feature extractor."""
    if (path / PREPROCESSOR).is_file() or not (path / PROCESSOR).is_file():
        return read_settings(path, PREPROCESSOR)
    inner = read_settings(path, PROCESSOR).get("feature_extractor")
    if not isinstance(inner, Mapping):
        raise CheckpointError(f"{path / PROCESSOR}: has no feature_extractor")
    return inner


def _number(settings: Mapping[str, Any], name: str, path: Path) -> int:
    value = settings.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise CheckpointError(f"{path}: {name} is {value!r}; needed: a number of Hz")
    return value


def _labels(settings: Mapping[str, Any], *, path: Path) -> tuple[str, ...]:
    """Of id2label; () without one, or where transformers wrote placeholders (LABEL_0)."""
    if "id2label" not in settings:
        return ()
    try:
        labels = in_order(settings.get("id2label"))
    except LabelsError as error:
        raise LabelsError(f"{path / CONFIG}: id2label: {error}") from error
    placeholders = tuple(f"LABEL_{index}" for index in range(len(labels)))
    return () if labels == placeholders else labels


def _newer(name: str) -> str:
    for older, newer in OLDER_NAMES.items():
        if name.endswith(older):
            return name.removesuffix(older) + newer
    return name


def _seed() -> Loaded:
    module = build({"num_labels": len(LABELS)}, path=Path(__file__))
    loaded = _around(module, labels=LABELS, sampling_rate=SAMPLING_RATE, standardize=True)
    samples = sample_input(loaded, media="voice")
    seed_torch(module, tuple(each[:1] for each in samples), residual_norms=RESIDUAL_WEIGHTS)
    return loaded


def _around(
    module: Any, *, labels: tuple[str, ...], sampling_rate: int, standardize: bool
) -> Loaded:
    _fold(module)
    return Loaded(
        network=TransformersNetwork(module, task="audio-classification", outputs=("logits",)),
        input=WaveformInput(standardize=standardize),
        head=Probabilities(softmax=True),
        preprocess=(Resample(sampling_rate),),
        labels=labels,
    )


def _fold(module: Any) -> None:
    """Weight normalisation into the weights: as nodes it hides them from the quantizer."""
    from torch.nn.utils import parametrize

    convolution = module.wav2vec2.encoder.pos_conv_embed.conv
    if parametrize.is_parametrized(convolution, "weight"):
        parametrize.remove_parametrizations(convolution, "weight")


RECIPE = Recipe(
    task="audio-classification",
    description="Emotion of a voice (Wav2Vec2)",
    licence="MIT",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(at_least={"top1_agreement": 0.98}, at_most={"probability_distance": 0.03}),
    media="voice",
    search_seconds=180.0,
    source=HubSource(
        repository="Dpngtm/wav2vec2-emotion-recognition",
        licence="MIT",
        files=("config.json", PREPROCESSOR),
        one_of=("model.safetensors", "pytorch_model.bin"),
    ),
)
