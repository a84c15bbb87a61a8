"""Text as it is compared: NFC and white space for equality; words, and all else that carries meaning, for likeness.

Equal texts are equal after NFC and white space; case, punctuation, emoji and operators all count. Texts are alike by their words
(letters with their combining marks, digits), whatever their case and sentence punctuation. `signs` are the words with a digit
and the symbols: texts that differ in these alone (`log2`, `log10`; `a + b`, `a - b`; another emoji) are different statements.
"""

from __future__ import annotations

import hashlib
import re
import sys
import unicodedata
from functools import cache

# Writing without spaces (Thai, Lao, Japanese, Chinese): each character counts as a word.
_UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
_PLAIN = (
    ".,;:'\"()[]\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2026\u3001\u3002\uff0c\uff1b\uff1a"  # says little by itself
)
_JOINERS = "\u200c\u200d"  # within words of Persian and the Indic scripts, and within emoji
_WORDS = re.compile(r"\w+")
_SIGN = re.compile(r"[^a-z_\s" + re.escape(_PLAIN) + "]")  # of ASCII: far quicker to look for than what it is part of
_SIGNS = re.compile(r"(?<!\w)[^\W\d]*\d\w*|[^\w\s" + re.escape(_PLAIN) + "]")  # words with a digit, and symbols


def words_and_signs(text: str) -> tuple[list[str], list[str], list[str]]:
    """Words of a normalised text: all; those without a digit; those with one, together with the symbols."""
    folded = text.casefold()
    if folded.isascii():
        words = _WORDS.findall(folded)
        if not _SIGN.search(folded):
            return words, words, []
        signs = _SIGNS.findall(folded)
        numbers = set(signs)
        return words, [word for word in words if word not in numbers], signs
    return _of_any_script(_unicode().findall(folded))


def _of_any_script(tokens: list[str]) -> tuple[list[str], list[str], list[str]]:
    words, letters, signs = list[str](), list[str](), list[str]()
    for token in tokens:
        is_word = token[0].isalnum() or token[0] == "_"
        if is_word:
            words.append(token)
        plain = token.isalpha() or (is_word and not any(map(str.isdigit, token)))
        (letters if plain else signs).append(token)
    return words, letters, signs


def key(*parts: str) -> int:
    """A 64-bit hash of texts; never 0."""
    content = "\x00".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") or 1


@cache
def _unicode() -> re.Pattern[str]:
    """Words and symbols of any script. Made when first needed: the combining marks are looked for in all of Unicode."""
    marks = "".join(map(re.escape, _combining()))
    word = rf"[^\W{_UNSPACED}](?:[^\W{_UNSPACED}]+|[{marks}{_JOINERS}]+)*"
    return re.compile(rf"[{_UNSPACED}][{marks}]*|{word}|[^\w\s{re.escape(_PLAIN)}]")


def _combining() -> list[str]:
    codes = map(chr, range(0x300, sys.maxunicode + 1))
    return [code for code in codes if unicodedata.category(code) in ("Mn", "Mc", "Me")]
