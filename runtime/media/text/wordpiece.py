"""Turn text into the token ids of BERT's WordPiece.

The ids equal those of Hugging Face's BertTokenizerFast (tested against it), but for some 500 marks
and accents of rare scripts that joined Unicode after 2015 and are missing from its tables. That
library, `tokenizers`, is 11 MB and brings 30 MB of clients of a model hub; this is a hundred lines.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ArtifactError, TooLargeError

UNKNOWN, BEGIN, END = "[UNK]", "[CLS]", "[SEP]"
SPECIAL = ("[PAD]", UNKNOWN, BEGIN, END, "[MASK]")  # text that spells one gets its id
MAX_CHARACTERS = 100_000  # a graph takes a few hundred tokens of them
_MAX_WORD = 100  # characters; a longer word is unknown as a whole
_SPLIT_AT_SPECIAL = re.compile("({})".format("|".join(re.escape(token) for token in SPECIAL)))
# First and last code points of the Han blocks; each of their characters is a word. The block at
# 0x2B820 begins 256 code points late, as in the Rust code of `tokenizers`, with which models are
# used today.
_HAN = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
_ASCII_SYMBOLS = frozenset("$+<=>^`|~")  # punctuation to BERT, though not to Unicode


def read_vocabulary(content: bytes, where: str) -> dict[str, int]:
    """Read a vocab.txt, which has a token on each line; its id is the line number from 0.

    Args:
        content: of the file.
        where: the name of the file, for error messages.

    Raises:
        ArtifactError: not UTF-8, or a token is missing that every text needs.
    """
    try:
        lines = content.decode("utf-8").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{where} is not UTF-8: {error}") from error
    vocabulary = {token: index for index, token in enumerate(lines)}
    missing = [token for token in (UNKNOWN, BEGIN, END) if token not in vocabulary]
    if missing:
        raise ArtifactError(f"{where} lacks the tokens {', '.join(missing)}")
    return vocabulary


@dataclass(frozen=True, slots=True)
class WordPiece:
    """A tokenizer with one vocabulary."""

    vocabulary: Mapping[str, int]  # token to id
    lowercase: bool  # whether text is converted to lower case and loses its accents

    def encode(self, text: str, *, max_length: int) -> NDArray[np.int64]:
        """Return the token ids of a text, between those of [CLS] and [SEP].

        Args:
            text: any text; control characters are dropped.
            max_length: largest number of ids; tokens that do not fit are cut off before [SEP].

        Returns:
            (L,) int64, 2 <= L <= max_length.

        Raises:
            TooLargeError: more than MAX_CHARACTERS.
        """
        if len(text) > MAX_CHARACTERS:
            raise TooLargeError(f"the text has {len(text)} characters; allowed: {MAX_CHARACTERS}")
        tokens = [BEGIN, *islice(self._tokens(text), max_length - 2), END]
        return np.array([self.vocabulary[token] for token in tokens], np.int64)

    def _tokens(self, text: str) -> Iterator[str]:
        for part in _SPLIT_AT_SPECIAL.split(text):
            if part in SPECIAL and part in self.vocabulary:
                yield part
                continue
            for word in _words(_normalize(part, lowercase=self.lowercase)):
                yield from self._pieces(word)

    def _pieces(self, word: str) -> list[str]:
        """Split a word into the longest token that begins it, then the longest that continues it.

        If any part is no token, the whole word becomes [UNK].
        """
        if len(word) > _MAX_WORD:
            return [UNKNOWN]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if prefix + word[start:e] in self.vocabulary), None)
            if end is None:
                return [UNKNOWN]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


def _normalize(text: str, *, lowercase: bool) -> str:
    cleaned = "".join(map(_clean, text))
    if not lowercase:
        return cleaned
    bare = (c for c in decompose(cleaned) if unicodedata.category(c) != "Mn")
    # character by character: str.lower of a whole Greek word would end it with the final sigma
    return "".join(c.lower() for c in bare)


def decompose(text: str) -> str:
    """Return the canonical decomposition (NFD) of a text, in time in proportion to its length.

    `unicodedata.normalize` sorts the marks of one letter by insertion: a letter with 100,000 of
    them takes it five seconds, in which no other thread runs.
    """
    if text.isascii():
        return text
    characters = "".join(unicodedata.normalize("NFD", character) for character in text)
    runs = groupby(characters, key=lambda character: unicodedata.combining(character) > 0)
    return "".join(
        "".join(sorted(run, key=unicodedata.combining)) if are_marks else "".join(run)
        for are_marks, run in runs
    )


@functools.lru_cache(maxsize=4096)  # limited, as clients may send every character of Unicode
def _clean(character: str) -> str:
    """Return a space for white space, nothing for a control character, spaces around Han."""
    if character in "\t\n\r" or (character.isspace() and not _is_control(character)):
        return " "
    if character == "\ufffd" or _is_control(character):
        return ""
    code = ord(character)
    return f" {character} " if any(low <= code <= high for low, high in _HAN) else character


def _is_control(character: str) -> bool:
    # unassigned code points (Cn) stay: they may be emoji that are newer than this Python
    return unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs")


def _words(text: str) -> Iterator[str]:
    """Split text at white space and around punctuation; each punctuation mark is a word."""
    for chunk in text.split():
        word = ""
        for character in chunk:
            if not _is_punctuation(character):
                word += character
                continue
            if word:
                yield word
            yield character
            word = ""
        if word:
            yield word


def _is_punctuation(character: str) -> bool:
    return character in _ASCII_SYMBOLS or unicodedata.category(character).startswith("P")
