"""The tiny model's tokenizer: byte-level BPE as GPT-2 has it, so that llama.cpp reads it. Digits are never merged: they are
copied.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise

WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")
"""GPT-2's pre-tokenizer, on ASCII."""
END = "<|end|>"
Pair = tuple[str, str]


@cache
def byte_letters() -> dict[int, str]:
    """How GPT-2 writes each byte as a printable letter."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


def letters(text: str) -> tuple[str, ...]:
    """A word's bytes, as letters."""
    return tuple(byte_letters()[byte] for byte in text.encode())


def learn(texts: Iterable[str], merges: int) -> list[Pair]:
    """The `merges` most useful pairs of a corpus, in order."""
    words = Counter(letters(word) for text in texts for word in WORDS.findall(text))
    learned: list[Pair] = []
    while len(learned) < merges:
        pairs: Counter[Pair] = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                if not any(c.isdigit() for c in "".join(pair)):
                    pairs[pair] += times
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        learned.append(best)
        words = Counter({_merged(word, best): times for word, times in words.items()})
    return learned


def _merged(word: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    out: list[str] = []
    for letter in word:
        if out and (out[-1], letter) == pair:
            out[-1] += letter
        else:
            out.append(letter)
    return tuple(out)


class Tokens:
    """Text to numbers."""

    def __init__(self, merges: Sequence[Pair]) -> None:
        self.merges = list(merges)
        self.names = [*byte_letters().values(), *("".join(pair) for pair in merges), END]
        self._numbers = {name: i for i, name in enumerate(self.names)}
        self.end = self._numbers[END]
        self._known: dict[str, list[int]] = {}

    def of(self, text: str) -> list[int]:
        """The tokens of a text."""
        return [number for word in WORDS.findall(text) for number in self._word(word)]

    def _word(self, word: str) -> list[int]:
        if word not in self._known:
            parts = letters(word)
            for pair in self.merges:
                parts = _merged(parts, pair)
            self._known[word] = [self._numbers[part] for part in parts]
        return self._known[word]
