"""Training and measuring of a sentencepiece model."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic, identifiers
from artifacts.errors import UserError
from artifacts.pieces import META
from artifacts.tokenizer import SPECIAL

if TYPE_CHECKING:
    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from steps.train_tokenizer.config import Config
    from telemetry import Observe

_CHARACTERS_PER_ID = 150
_FEWEST = 1000  # ids that are aimed at, however little text there is
_BARE = 300  # bytes and special tokens with a few pieces
_ATTEMPTS = 4
_LARGEST = re.compile(r"[Vv]ocabulary size.*?too high.*?<= ?(\d+)", re.DOTALL)
_NEEDED = re.compile(r"[Vv]ocabulary size is smaller than required_chars\.? ?(\d+) vs (\d+)")
_MEASURED = 5000  # texts of the validation split
_LONGEST = 16_384  # bytes of one sentence; sentencepiece would leave out what is longer


def train(config: Config, corpus: Corpus, file: Path, observe: Observe) -> None:
    """Write a sentencepiece model (Kudo and Richardson 2018, arXiv 1808.06226).

    Unless asked (`normalization`), nothing is normalised and no space is added or taken away, so that every text comes back exactly;
    what the pieces cannot write is written as bytes. Unigram: Kudo 2018, arXiv 1804.10959; BPE: Sennrich et al. 2016, arXiv 1508.07909.

    A vocabulary whose size is not given fits the corpus: as the amount of text has it, and no larger or smaller than
    sentencepiece finds possible.
    """
    size = config.vocab_size or fitting_size(_characters(corpus), config.vocab_limit)
    with atomic.replacement(file) as temporary:
        for attempt in range(_ATTEMPTS):
            try:
                _train_once(config, size, corpus, temporary, observe)
            except (RuntimeError, OSError) as error:
                other = None if config.vocab_size or attempt == _ATTEMPTS - 1 else _possible(error, size)
                if other is None:
                    raise _explain_error(error, size) from None
                size = other
            else:
                break
        _finish(config, temporary)
    if not config.vocab_size:
        observe.log("tokenizer.fitted", f"vocab_size={size}, fitted to the corpus", vocab_size=size)


def fitting_size(characters: int, limit: int) -> int:
    """Ids for a training split of so many characters: one for each 150, so that a piece is seen often enough."""
    return min(limit, max(_FEWEST, characters // _CHARACTERS_PER_ID))


def _characters(corpus: Corpus) -> int:
    return sum(len(text) for text in chain.from_iterable(corpus.text_rows("train")))


def _possible(error: Exception, size: int) -> int | None:
    """The nearest size that sentencepiece calls possible; None for other errors."""
    text = str(error)
    if largest := _LARGEST.search(text):
        return int(largest[1])
    if smallest := _NEEDED.search(text):
        return int(smallest[2]) + _FEWEST
    return None if size <= _BARE or "vocabulary" not in text.lower() else max(_BARE, size // 2)


def _train_once(config: Config, size: int, corpus: Corpus, temporary: Path, observe: Observe) -> None:
    import sentencepiece

    every = max(1, -(-corpus.count("train") // config.max_texts))
    with observe.progress("read texts", corpus.count("train"), "texts") as progress:

        def sentences() -> Iterator[str]:
            for number, row in enumerate(corpus.text_rows("train")):
                progress.update()
                for text in row if number % every == 0 else ():
                    if config.normalization == identifiers.NAME:
                        text = identifiers.divide(text)
                    for part in text.split(META):  # which sentencepiece would learn as a space
                        yield from (part[start : start + _LONGEST // 4] for start in range(0, len(part), _LONGEST // 4))

        # Its training proper says nothing of how far it is, and reads the texts first.
        with (
            temporary.open("wb") as writer,
            tempfile.TemporaryDirectory() as folder,
            observe.waiting(f"train tokenizer ({config.kind})"),
        ):
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=sentences(), model_writer=writer, model_type=config.kind,
                vocab_size=size, character_coverage=config.character_coverage, byte_fallback=True,
                pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, pad_piece=SPECIAL[0], unk_piece=SPECIAL[1],
                control_symbols=list(SPECIAL[2:]), split_digits=True, allow_whitespace_only_pieces=True,
                **_normalization(config, Path(folder)), max_sentence_length=_LONGEST, num_threads=config.threads,
                input_sentence_size=0, minloglevel=2,
            )  # fmt: skip


def _normalization(config: Config, folder: Path) -> dict[str, Any]:
    """Options of sentencepiece's trainer; a file of rules is written into `folder`."""
    if config.normalization == "none":
        return {"normalization_rule_name": "identity", "add_dummy_prefix": False, "remove_extra_whitespaces": False}
    file = folder / "rules.tsv"
    codes = [[" ".join(f"{ord(one):X}" for one in part) for part in rule] for rule in identifiers.rules()]
    file.write_text("".join(f"{old}\t{new}\n" for old, new in codes))
    return {"normalization_rule_tsv": str(file)}


def _finish(config: Config, file: Path) -> None:
    """Write the name of the normalization into the model, and scores as multiples of 1/256: sums of up to 2^24 such steps are exact in
    float32 as in float64.

    Else two ways to cut a text that are equally likely (the same pieces in another order) differ by rounding alone,
    and other programs round otherwise: so the library `tokenizers` cuts as sentencepiece does (`models/export`).
    """
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(file.read_bytes())
    if config.normalization != "none":
        proto.normalizer_spec.name = config.normalization
        # The path of the rules is another each time; they are compiled in.
        proto.normalizer_spec.ClearField("normalization_rule_tsv")
    for piece in proto.pieces if config.kind == "unigram" else ():
        piece.score = round(piece.score * 256) / 256
    file.write_bytes(proto.SerializeToString())


def _explain_error(error: Exception, size: int) -> Exception:
    text = " ".join(str(error).split())
    if largest := _LARGEST.search(text):
        return UserError(f"vocab_size={size} is too large for this corpus; it gives at most {largest[1]}")
    if smallest := _NEEDED.search(text):
        return UserError(
            f"vocab_size={size} is too small: the characters of this corpus alone need {smallest[2]}; "
            "give more, or a lower character_coverage"
        )
    if "vocab_size" in text.lower() or "vocabulary" in text.lower():
        return UserError(f"vocab_size={size} does not fit this corpus ({text[:200]})")
    return error


def measure(tokenizer: Tokenizer, corpus: Corpus, observe: Observe) -> dict[str, Any]:
    """Fertility, bytes a token, unknowns and round trips on the validation split, compared with single characters."""
    texts = list(islice(chain.from_iterable(corpus.text_rows("validation")), _MEASURED))
    alphabet: set[str] = set()
    for row in islice(corpus.text_rows("train"), 20_001):
        alphabet.update(*row)
    characters = _measure(texts, lambda some: [[3 if c in alphabet else 1 for c in text] for text in some], None)
    own = _measure(texts, tokenizer.encode_batch, tokenizer.restores, tokenizer.unk_id)
    exact = sum(all(c in alphabet for c in text) for text in texts) / len(texts)
    return {
        "texts": len(texts),
        "tokenizer": own,
        "characters": {**characters, "vocab_size": len(alphabet) + 2, "round_trip_share": round(exact, 6)},
    }


def _measure(
    texts: Sequence[str],
    encode: Callable[[Sequence[str]], list[list[int]]],
    restores: Callable[[str, list[int]], bool] | None,
    unk_id: int = 1,
) -> dict[str, float]:
    encoded = encode(texts)
    tokens = sum(map(len, encoded))
    words = sum(len(text.split()) for text in texts)
    unknown = sum(ids.count(unk_id) for ids in encoded)
    measures = {
        "fertility": round(tokens / max(1, words), 6),
        "bytes_per_token": round(sum(len(text.encode()) for text in texts) / max(1, tokens), 6),
        "unknown_share": round(unknown / max(1, tokens), 8),
    }
    if restores is not None:
        same = sum(restores(text, ids) for ids, text in zip(encoded, texts, strict=True))
        measures["round_trip_share"] = round(same / len(texts), 6)
    return measures
