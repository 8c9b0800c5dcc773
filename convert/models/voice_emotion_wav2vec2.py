"""Wav2Vec2 voice emotion: any Wav2Vec2ForSequenceClassification, from its Hugging Face folder.

The recipe reads everything from the folder: architecture and labels from config.json, the sampling
rate and whether to standardise waveforms from preprocessor_config.json, and the weights from
model.safetensors or pytorch_model.bin, in one file or in parts. The reference is transformers' own
module.

Sounds are not padded and there is no attention mask: networks of the base size (group norm) were
trained without one, and padding changes their answers. So a batch holds sounds of equal length.

Source: transformers 4.57, modeling_wav2vec2.py and feature_extraction_wav2vec2.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.authoring import (
    CheckpointError,
    HubSource,
    LabelsError,
    Loaded,
    Probabilities,
    Recipe,
    Resample,
    Tolerance,
    TransformersNetwork,
    WaveformInput,
    import_transformers,
    load_strictly,
    one_line,
    ordered_labels,
    read_folder_settings,
    read_folder_weights,
    sample_input,
    seed_torch,
)

ARCHITECTURE = "Wav2Vec2ForSequenceClassification"
CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
# newer folders have the preprocessor's settings in this file, under "feature_extractor"
PROCESSOR = "processor_config.json"
# of the seeded network: RAVDESS's classes
LABELS = ("angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
SAMPLING_RATE = 16_000  # Hz
# masks the input in training; inference does not use it
TRAINING_ONLY_KEYS = ("*masked_spec_embed",)
# tensors of weight normalisation: names before torch 2.0, and names since
KEY_ENDINGS = {
    ".weight_g": ".parametrizations.weight.original0",
    ".weight_v": ".parametrizations.weight.original1",
}
RESIDUAL_WEIGHTS = ("*.attention.out_proj.weight", "*.feed_forward.output_dense.weight")


def _load(path: Path) -> Loaded:
    settings = read_folder_settings(path)
    _check_architecture(settings, path)
    extractor = _feature_extractor(path)
    module = build(settings, path=path)
    state = {_current_key(key): tensor for key, tensor in read_folder_weights(path).items()}
    load_strictly(module, state, path=path, ignore=TRAINING_ONLY_KEYS)
    return _loaded_model(
        module,
        labels=_labels(settings, path=path),
        sampling_rate=_sampling_rate(extractor, path),
        standardize=bool(extractor.get("do_normalize", True)),
    )


def build(settings: Mapping[str, Any], *, path: Path) -> Any:
    """Build the module that a config.json describes, with weights that are not initialised.

    Raises:
        CheckpointError: transformers refuses the settings.
    """
    transformers = import_transformers()
    # no masking, as in training; attention as the plain matrix products that the exporter knows
    overrides = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "attn_implementation": "eager"}
    try:
        config = transformers.Wav2Vec2Config.from_dict({**settings, **overrides})
        with transformers.modeling_utils.no_init_weights():
            return transformers.Wav2Vec2ForSequenceClassification(config)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{path / CONFIG}: transformers cannot build its network: {one_line(error)}"
        ) from error


def _check_architecture(settings: Mapping[str, Any], path: Path) -> None:
    names = settings.get("architectures") or [f"none, model_type {settings.get('model_type')}"]
    if names != [ARCHITECTURE]:
        listing = ", ".join(map(str, names))
        raise CheckpointError(f"{path / CONFIG}: architecture {listing}; needed: {ARCHITECTURE}")
    problem = settings.get("problem_type")
    if problem not in (None, "single_label_classification"):
        raise CheckpointError(
            f"{path / CONFIG}: problem_type is {problem!r}; needed: single_label_classification"
        )


def _feature_extractor(path: Path) -> Mapping[str, Any]:
    """Read the settings of the folder's feature extractor."""
    if (path / PREPROCESSOR).is_file() or not (path / PROCESSOR).is_file():
        return read_folder_settings(path, PREPROCESSOR)
    extractor = read_folder_settings(path, PROCESSOR).get("feature_extractor")
    if not isinstance(extractor, Mapping):
        raise CheckpointError(f"{path / PROCESSOR}: has no feature_extractor")
    return extractor


def _sampling_rate(extractor: Mapping[str, Any], path: Path) -> int:
    value = extractor.get("sampling_rate")
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise CheckpointError(f"{path}: sampling_rate is {value!r}; needed: a number of Hz")
    return value


def _labels(settings: Mapping[str, Any], *, path: Path) -> tuple[str, ...]:
    """Return the names in id2label; () if there are none, or only placeholders (LABEL_0)."""
    if "id2label" not in settings:
        return ()
    try:
        labels = ordered_labels(settings.get("id2label"))
    except LabelsError as error:
        raise LabelsError(f"{path / CONFIG}: id2label: {error}") from error
    placeholders = tuple(f"LABEL_{index}" for index in range(len(labels)))
    return () if labels == placeholders else labels


def _current_key(key: str) -> str:
    for old, new in KEY_ENDINGS.items():
        if key.endswith(old):
            return key.removesuffix(old) + new
    return key


def _seed() -> Loaded:
    module = build({"num_labels": len(LABELS)}, path=Path(__file__))
    loaded = _loaded_model(module, labels=LABELS, sampling_rate=SAMPLING_RATE, standardize=True)
    # one sample: there is no batch normalisation whose statistics would need more
    samples = tuple(array[:1] for array in sample_input(loaded, media="voice"))
    seed_torch(module, samples, residual_norms=RESIDUAL_WEIGHTS)
    return loaded


def _loaded_model(
    module: Any, *, labels: tuple[str, ...], sampling_rate: int, standardize: bool
) -> Loaded:
    _fold_weight_normalisation(module)
    return Loaded(
        network=TransformersNetwork(module, task="audio-classification", outputs=("logits",)),
        input=WaveformInput(standardize=standardize),
        head=Probabilities(softmax=True),
        preprocess=(Resample(sampling_rate),),
        labels=labels,
    )


def _fold_weight_normalisation(module: Any) -> None:
    """Make weight normalisation part of the weights: as nodes it hides them from the quantizer."""
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
