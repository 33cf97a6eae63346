"""Terms of a text: words of any script and, if wanted, short runs of words.

Words are cut after NFKC normalisation and case folding. Letters, digits and combining marks make a word, accents stay.
Chinese characters and Japanese kana are written without spaces: a stretch of them gives its overlapping pairs, as usual
in indexing.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from model.config import Config
from model.encoders.base import TextFields

# Python's \w leaves out combining marks, which would cut Devanagari or Thai words at their vowel signs.
_MARKS = "".join(chr(c) for c in range(0x300, 0x10000) if unicodedata.category(chr(c)) in {"Mn", "Mc"})
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"([{_UNSPACED}]+)|(?:(?![{_UNSPACED}_])[\w{_MARKS}])+")


class TermConfig(Config):
    """How often a term counts that stands once in each field (0 leaves the field out), and the longest run of words."""

    title: int = Field(default=3, ge=0)
    category: int = Field(default=3, ge=0)
    text: int = Field(default=1, ge=0)
    longest_run: int = Field(default=1, ge=1, le=4)


def words(text: str) -> list[str]:
    """The words of ``text`` in order, normalised and case folded."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        found.extend(_pairs(match[0]) if match[1] else [match[0]])
    return found


def terms(text: str, longest_run: int) -> Iterator[str]:
    """The words of ``text``, then its runs of 2 words joined by a space, and so on up to ``longest_run``."""
    found = words(text)
    yield from found
    for length in range(2, longest_run + 1):
        for start in range(len(found) - length + 1):
            yield " ".join(found[start : start + length])


def count_terms(item: TextFields, config: TermConfig) -> Counter[str]:
    """The weighted number of times that each term stands in the item's fields; no run crosses a field's end."""
    counts: Counter[str] = Counter()
    fields = [(item.title, config.title), (item.text, config.text)]
    fields += [(category, config.category) for category in item.category]
    for text, weight in fields:
        if weight:
            for term in terms(text, config.longest_run):
                counts[term] += weight
    return counts


def _pairs(stretch: str) -> list[str]:
    return [stretch[start : start + 2] for start in range(max(len(stretch) - 1, 1))]
