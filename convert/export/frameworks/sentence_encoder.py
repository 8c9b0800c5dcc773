"""Folders of sentence-transformers or Hugging Face that hold a BERT with mean pooling."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.checkpoint import load_strictly
from convert.checkpoint.folder import CONFIG, read_folder_settings, read_folder_weights
from convert.errors import CheckpointError
from convert.export.frameworks.torch_module import TorchNetwork

VOCABULARY = "vocab.txt"
POOLING, MODULES = "1_Pooling/config.json", "modules.json"
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
FAST_TOKENIZER, TRAINER_STATE = "tokenizer.json", "trainer_state.json"
LIMITS, TOKENIZER = "sentence_bert_config.json", "tokenizer_config.json"
BERT_PARTS = ("BertNormalizer", "BertPreTokenizer")
# settings of config.json that the architecture implements; absent ones have these values too
SUPPORTED: Mapping[str, str] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
}


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """A text encoder, its vocabulary and its settings, as read from a folder."""

    network: TorchNetwork  # ids (N, L) int64 and mask (N, L) float32 to (N, D) mean over tokens
    vocabulary: bytes  # vocab.txt
    max_length: int  # tokens, including [CLS] and [SEP]
    lowercase: bool


def read_sentence_encoder(folder: Path) -> SentenceEncoder:
    """Read config.json, weights and vocab.txt or tokenizer.json; other files are optional.

    Raises:
        CheckpointError: a file is missing or damaged, or the model is not a BERT whose token
            vectors are averaged.
    """
    config = read_folder_settings(folder)
    for name, supported in SUPPORTED.items():
        value = config.get(name, supported)
        if value != supported:
            raise CheckpointError(f"{folder / CONFIG}: {name} is {value!r}; known: {supported!r}")
    _check_pooling(folder)
    return SentenceEncoder(
        _network(config, folder),
        _vocabulary(folder, config),
        _max_length(folder, config),
        _lowercase(folder),
    )


def build_bert(config: Mapping[str, Any], *, where: Path) -> Any:
    """Return an untrained encoder.

    Args:
        config: sizes by their names in config.json.
        where: the file that holds them; begins every error.

    Raises:
        CheckpointError: a size is missing or no number, or is not divisible by the heads.
    """
    from convert.architectures.bert import BertShape, MeanOfTokens

    sizes = {name: config.get(name) for name in BertShape.__dataclass_fields__}
    for name, value in sizes.items():
        if not isinstance(value, int | float) or value <= 0:
            raise CheckpointError(f"{where}: {name} is {value!r}; needed: a number over 0")
    shape = BertShape(**sizes)  # type: ignore[arg-type]  # checked above: numbers
    if shape.hidden_size % shape.num_attention_heads:
        heads = f"{shape.num_attention_heads} heads"
        raise CheckpointError(
            f"{where}: hidden_size {shape.hidden_size} for {heads}: no even share"
        )
    return MeanOfTokens(shape)


def token_network(module: Any) -> TorchNetwork:
    """Wrap an encoder as a network that takes any number of tokens."""
    return TorchNetwork(module, inputs={"ids": ("L",), "mask": ("L",)}, dtypes={"ids": "int64"})


def _network(config: Mapping[str, Any], folder: Path) -> TorchNetwork:
    """Build the network that config.json describes and load the folder's weights."""
    from convert.architectures.bert import UNUSED

    module = build_bert(config, where=folder / CONFIG)
    load_strictly(module, read_folder_weights(folder), path=folder, ignore=UNUSED)
    return token_network(module)


def _check_pooling(folder: Path) -> None:
    """Check that the folder averages token vectors, if it says how it pools."""
    for name in _modules(folder / MODULES):
        if name not in KNOWN_MODULES:
            raise CheckpointError(
                f"{folder / MODULES}: a module {name}; known: {', '.join(KNOWN_MODULES)}"
            )
    pooling = _optional_settings(folder, POOLING)
    modes = [name for name, on in pooling.items() if name.startswith("pooling_mode") and on is True]
    named = pooling.get("pooling_mode")  # sentence-transformers 5.4 and later write the name
    if named is not None:
        modes += named if isinstance(named, list) else [named]
    if pooling and modes not in (["pooling_mode_mean_tokens"], ["mean"]):
        listed = ", ".join(map(str, modes)) or "none"
        raise CheckpointError(
            f"{folder / POOLING}: pooling is {listed[:200]}; known: pooling_mode_mean_tokens alone"
        )


def _modules(path: Path) -> list[str]:
    """Return the classes of a sentence-transformers pipeline, in order; []: the file is missing."""
    if not path.is_file():
        return []
    try:
        return [str(module["type"]).rsplit(".", 1)[-1] for module in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a list of modules: {error!r}") from error


def _vocabulary(folder: Path, config: Mapping[str, Any]) -> bytes:
    """Return vocab.txt, or the same from tokenizer.json if the folder has that alone."""
    path = folder / VOCABULARY
    if not path.is_file() and (folder / FAST_TOKENIZER).is_file():
        return _vocabulary_of_tokenizer(folder, config)
    if not path.is_file() and (folder / TRAINER_STATE).is_file():
        raise CheckpointError(
            f"{folder}: a checkpoint of a Trainer without its tokenizer; add it: "
            "tokenizer.save_pretrained(DIR)"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    _check_token_count(path, len(content.splitlines()), config)
    return content


def _check_token_count(path: Path, count: int, config: Mapping[str, Any]) -> None:
    if count > config["vocab_size"]:
        raise CheckpointError(f"{path}: {count} tokens; {CONFIG} says {config['vocab_size']}")


def _vocabulary_of_tokenizer(folder: Path, config: Mapping[str, Any]) -> bytes:
    """Return the tokens of a WordPiece tokenizer.json in order, one a line.

    Raises:
        CheckpointError: it is another kind of tokenizer, or its ids have gaps.
    """
    path = folder / FAST_TOKENIZER
    settings = read_folder_settings(folder, FAST_TOKENIZER)
    model, normalizer = _dict(settings.get("model")), _dict(settings.get("normalizer"))
    kinds = (normalizer.get("type"), _dict(settings.get("pre_tokenizer")).get("type"))
    accents = normalizer.get("strip_accents")
    if kinds != BERT_PARTS or accents not in (None, normalizer.get("lowercase")):
        raise CheckpointError(
            f"{path}: splits words otherwise than BERT ({', '.join(map(str, kinds))[:80]}, "
            f"strip_accents {str(accents)[:8]}); known: {', '.join(BERT_PARTS)}"
        )
    vocabulary = _dict(model.get("vocab"))
    prefix = model.get("continuing_subword_prefix", "##")
    if model.get("type", "WordPiece") != "WordPiece" or prefix != "##" or not vocabulary:
        raise CheckpointError(
            f"{path}: a tokenizer of {str(model.get('type'))[:40]!r}; known: WordPiece with '##'"
        )
    tokens = sorted(vocabulary, key=lambda token: _index(path, vocabulary[token]))
    if [vocabulary[token] for token in tokens] != list(range(len(tokens))):
        raise CheckpointError(f"{path}: the ids of its tokens are not 0 to {len(tokens) - 1}")
    _check_token_count(path, len(tokens), config)
    if any(len(token.splitlines()) != 1 for token in tokens):
        raise CheckpointError(f"{path}: a token holds a line break")
    return "\n".join(tokens).encode()


def _index(path: Path, value: Any) -> int:
    if type(value) is not int:
        raise CheckpointError(f"{path}: a token has the id {str(value)[:40]!r}; needed: a number")
    return value


def _lowercase(folder: Path) -> bool:
    """Return whether texts are lower-cased: by tokenizer_config.json, else tokenizer.json."""
    stated = _optional_settings(folder, TOKENIZER).get("do_lower_case")
    if stated is None:
        normalizer = _dict(_optional_settings(folder, FAST_TOKENIZER).get("normalizer"))
        stated = normalizer.get("lowercase")
    return True if stated is None else bool(stated)


def _max_length(folder: Path, config: Mapping[str, Any]) -> int:
    """Return the smallest limit of tokens; tokenizers without one state 1e30."""
    stated = (
        _optional_settings(folder, LIMITS).get("max_seq_length"),
        _optional_settings(folder, TOKENIZER).get("model_max_length"),
    )
    limit = next((value for value in stated if value is not None), None)
    limits = [limit, config["max_position_embeddings"]]
    return int(min(value for value in limits if isinstance(value, int | float) and value > 0))


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _optional_settings(folder: Path, name: str) -> Mapping[str, Any]:
    return read_folder_settings(folder, name) if (folder / name).is_file() else {}
