"""Tokens worked out by hand. tests/convert/oracles/test_text.py compares with Hugging Face."""

import random
import time
import unicodedata

import numpy as np
import pytest

from runtime.errors import ArtifactError, TooLargeError
from runtime.media.text.wordpiece import (
    MAX_CHARACTERS,
    WordPiece,
    decompose,
    read_vocabulary,
)
from tests.support.artifacts import WORDS

VOCABULARY = {word: index for index, word in enumerate(WORDS)}
TOKENIZER = WordPiece(VOCABULARY, lowercase=True)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("slow", ["slow"]),
        ("Slowly walking.", ["slow", "##ly", "walk", "##ing", "."]),
        ("slow.walk", ["slow", ".", "walk"]),
        ("\tslow\u00a0\u3000walk\r\n", ["slow", "walk"]),
        ("sl\u200bow\x00 \ufffdwalk\x07", ["slow", "walk"]),
        ("\u00c9 e\u0301", ["e", "e"]),
        ("slowest", ["[UNK]"]),
        ("slow\u6b69walk", ["slow", "[UNK]", "walk"]),
        ("walk[SEP]walk", ["walk", "[SEP]", "walk"]),
        ("e" * 101, ["[UNK]"]),
        ("", []),
        (" \n", []),
    ],
)
def test_tokens_by_hand(text: str, tokens: list[str]) -> None:
    ids = TOKENIZER.encode(text, max_length=64)
    assert ids.dtype == np.int64
    assert [WORDS[i] for i in ids] == ["[CLS]", *tokens, "[SEP]"]


def test_word_of_over_a_hundred_characters_is_unknown_as_a_whole() -> None:
    tokenizer = WordPiece({**VOCABULARY, "##e": len(WORDS)}, lowercase=True)
    assert tokenizer.encode("e" * 100, max_length=256).tolist() == [2, 10, *[11] * 99, 3]
    assert tokenizer.encode("e" * 101, max_length=256).tolist() == [2, 1, 3]


def test_a_cased_vocabulary_keeps_case_and_accents() -> None:
    ids = WordPiece(VOCABULARY, lowercase=False).encode("slow Slow \u00e9", max_length=64)
    assert [WORDS[i] for i in ids[1:-1]] == ["slow", "[UNK]", "[UNK]"]


def test_long_text_is_cut_and_keeps_its_end_token() -> None:
    ids = TOKENIZER.encode("slow walk slow walk slow", max_length=4)
    assert [WORDS[i] for i in ids] == ["[CLS]", "slow", "walk", "[SEP]"]


def test_text_over_the_limit_is_refused() -> None:
    assert TOKENIZER.encode("e " * (MAX_CHARACTERS // 2), max_length=8).size == 8
    with pytest.raises(TooLargeError, match="the text has 100001 characters; allowed: 100000"):
        TOKENIZER.encode("e" * (MAX_CHARACTERS + 1), max_length=8)


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_vocabulary_has_a_token_on_each_line(line: str, end: str) -> None:
    content = (line.join(WORDS) + end).encode()
    assert read_vocabulary(content, "vocab.txt") == VOCABULARY


def test_unicode_line_separators_do_not_end_a_token() -> None:
    content = "\n".join([*WORDS, "\u2028", "\x85", "last"]).encode()
    assert read_vocabulary(content, "vocab.txt")["last"] == len(WORDS) + 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\n", "vocab.txt is not UTF-8"),
        (b"[UNK]\nslow\n", r"vocab.txt lacks the tokens \[CLS\], \[SEP\]"),
        (b"", r"vocab.txt lacks the tokens \[UNK\], \[CLS\], \[SEP\]"),
    ],
)
def test_an_invalid_vocabulary_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_vocabulary(content, "vocab.txt")


def test_decomposition_is_the_canonical_one() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    marks = [character for character in characters if unicodedata.combining(character)]
    generator = random.Random(5)
    for _ in range(3000):
        text = "".join(
            generator.choice(marks if generator.random() < 0.7 else characters) for _ in range(9)
        )
        assert decompose(text) == unicodedata.normalize("NFD", text), ascii(text)


def test_the_marks_of_a_letter_take_linear_time() -> None:
    def seconds(count: int) -> float:
        start = time.thread_time()
        TOKENIZER.encode("e" + "\u0301\u0323" * (count // 2), max_length=8)
        return time.thread_time() - start

    few = min(seconds(4000) for _ in range(5))
    # in quadratic time 24 times as many take 576 times as long; now they take some 24
    assert min(seconds(96_000) for _ in range(2)) < 120 * few
