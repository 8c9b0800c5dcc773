"""Texts of any length, str."""

from functools import lru_cache

import numpy as np

from convert.recipe import Loaded
from convert.samples.media.modality import Modality, Warn, ignore_warning
from convert.samples.procedural.sentences import generate_sentences
from runtime.artifact.manifest import VOCABULARY, Tokenize
from runtime.engine.session import Feeds
from runtime.errors import DecodeError, InputError
from runtime.media.suffixes import TEXTS
from runtime.media.text.wordpiece import WordPiece, read_vocabulary


def sentences() -> Modality:
    """Return the modality of texts; synthetic ones are about patients and everyday life."""
    return Modality(
        noun="texts",
        suffixes=TEXTS,
        generate=generate_sentences,
        read=_decode,
        simplify=str,
        encode=str.encode,
        to_feeds=_to_feeds,
    )


def _decode(data: bytes, warn: Warn = ignore_warning) -> str:
    del warn
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"the text is not UTF-8: {error.reason} at {error.start}") from None
    if not text.strip():
        raise InputError("the text is empty")
    return text


def _to_feeds(text: str, loaded: Loaded, warn: Warn = ignore_warning) -> Feeds:
    del warn
    (step,) = loaded.preprocess
    assert isinstance(step, Tokenize)  # the spec of sentence-similarity allows no other step
    tokenizer = _tokenizer(loaded.assets[VOCABULARY], step.lowercase)
    ids = tokenizer.encode(text, max_length=step.max_length)[np.newaxis]
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


@lru_cache(
    maxsize=1
)  # a conversion has one vocabulary, and builds the tokenizer once for all texts
def _tokenizer(vocabulary: bytes, lowercase: bool) -> WordPiece:
    return WordPiece(read_vocabulary(vocabulary, "the vocabulary"), lowercase)
