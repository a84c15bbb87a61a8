"""tokenizer.json from our sentencepiece models: the same ids for thousands of texts, whatever is in them."""

import random
from pydoc_data.topics import topics
from unicodedata import category

import pytest
import sentencepiece
import tokenizers

from artifacts import Output
from artifacts.pieces import OwnPieces
from models.export.sentencepiece_json import convert, exact
from models.huggingface import FolderError
from steps.train_tokenizer.config import Config
from steps.train_tokenizer.run import run
from telemetry import Observe
from tests.prepared import prepare, write_jsonl

LINES = [line for text in topics.values() for line in text.split("\n") if line.strip()]
ODD = [
    "", " ", "   ", " leads", "trails ", "a  b\n\n  c\t", "\x00", "\u2581", "\u2581\u2581 a", "<0x41>", "<0x0A><0x0B> x",
    "[UNUSED]", "e\u0301", "\ufeff", "\U0001f600\U0001f1e9\U0001f1ea", "1234567890" * 20, "-" * 99, "\u4e2d\u6587",
    "a\u2581b", " \u2581 \u2581", "the\u2581the the",
    "HTTPServer.getItem2D_from(x)", "ABcDeF aBCd XMLaB", "\u00c4RGER \u0130 E\u0301", "__init__", "_", "a_", "...",
]  # fmt: skip


@pytest.fixture(scope="module", params=["unigram", "bpe", "unigram identifiers", "bpe identifiers"])
def model(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    rows = [{"text": line} for line in LINES[::4]]
    corpus = prepare(root, write_jsonl(root / "rows.jsonl", rows))
    output = Output("tokenizer", root / "work", step="train_tokenizer", parents={"corpus": corpus}, root=root)
    kind, _, normalization = request.param.partition(" ")
    config = Config(corpus=str(corpus.path), vocab_size=1000, kind=kind, normalization=normalization or "none")
    run(config, {"corpus": corpus}, output, Observe.silent())
    return output.commit().file("tokenizer.model")


def texts():
    draw = random.Random(1)
    kinds = (lambda: draw.randrange(32, 127), lambda: draw.randrange(0xA0, 0x3000), lambda: 32, lambda: 10)
    drawn = ["".join(chr(draw.choice(kinds)()) for _ in range(draw.randrange(60))) for _ in range(1000)]
    made = [
        "".join(c for c in text if category(c) != "Cn") for text in drawn
    ]  # newer capitals are no letters to Python
    long = ["\n".join(LINES[start : start + 60]) for start in range(0, len(LINES), 60)]
    return [*LINES[::2], *ODD, *made, *long]


def test_converted_tokenizer_encodes_and_decodes_like_sentencepiece(model):
    theirs = tokenizers.Tokenizer.from_str(convert(model, ["[CLS]", "$A", "[SEP]"]))
    ours = OwnPieces(model)
    assert theirs.get_vocab_size() == ours.size
    asked = texts()
    assert len(asked) > 5000
    found = theirs.encode_batch(asked, add_special_tokens=False)
    for text, one in zip(asked, found, strict=True):
        assert [one.ids] == ours.encode([text]), text
        assert theirs.decode(one.ids) == ours.decode(one.ids)
    apple, boat = ours.encode(["apple", "boat"])
    assert theirs.encode("apple").ids == [2, *apple, 3]
    assert theirs.encode("apple", "boat").ids == [2, *apple, 3, *boat, 3]
    assert exact(model)


def test_convert_refuses_model_with_text_normalization(tmp_path):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES[:500]),
        model_prefix=str(tmp_path / "other"),
        vocab_size=700,
        minloglevel=2,
        num_threads=1,
        byte_fallback=True,
    )
    with pytest.raises(FolderError, match=r"other.model: normalization_rule is not that of a tokenizer trained here"):
        convert(tmp_path / "other.model", ["$A"])
