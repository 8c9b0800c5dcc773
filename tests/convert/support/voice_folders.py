"""Folders of small voice models, as transformers saves them."""

import json
from pathlib import Path
from typing import Any

from convert.export.frameworks.hugging_face import import_transformers
from convert.samples.media import MODALITIES
from convert.samples.procedural import SAMPLES
from convert.weights.seeded import seed_torch

LABELS = ("angry", "calm", "happy", "sad")
# of each kind what sets it apart; both as small as they work
GROUP = {"feat_extract_norm": "group"}
STABLE = {
    "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True,
    "use_weighted_layer_sum": True,
}  # fmt: skip
SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16, "id2label": dict(enumerate(LABELS)),
    "label2id": {name: index for index, name in enumerate(LABELS)},
}  # fmt: skip
PREPROCESSOR = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16_000,
    "do_normalize": True, "feature_size": 1, "padding_value": 0.0,
}  # fmt: skip


def voice_module(**settings: Any) -> Any:
    """Build a module of transformers with spread weights; weight normalisation as in training."""
    library = import_transformers()
    config = library.Wav2Vec2Config(**{**SMALL, **settings})
    module = library.Wav2Vec2ForSequenceClassification(config)
    (waveform,) = MODALITIES["voice"].generate(SAMPLES, 1)
    seed_torch(
        module, (waveform[None],), residual_norms=("classifier.weight", "*.output_dense.weight")
    )
    return module


def write_folder(folder: Path, module: Any, **preprocessor: Any) -> Path:
    """Save a module with its preprocessor's settings."""
    module.save_pretrained(folder)
    text = json.dumps({**PREPROCESSOR, **preprocessor})
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    return folder


def edit(path: Path, **changes: Any) -> None:
    """Change a JSON file; None takes a key away."""
    settings = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    remaining = {key: value for key, value in settings.items() if value is not None}
    path.write_text(json.dumps(remaining), encoding="utf-8")
