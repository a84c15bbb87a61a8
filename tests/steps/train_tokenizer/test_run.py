"""train_tokenizer: the same bytes twice, honest measures, clear errors."""

import os
import signal

import pytest
from pydantic import ValidationError

from artifacts import Output, atomic
from artifacts.corpus import Corpus
from artifacts.errors import UserError
from artifacts.tokenizer import Tokenizer
from steps.train_tokenizer.config import Config
from steps.train_tokenizer.run import run
from steps.train_tokenizer.tokenization import fitting_size, train
from telemetry import Interrupted, Observe
from tests.prepared import prepare, sentences, write_jsonl
from tests.signals import listening
from tests.small_training import Recording

CYRILLIC = str.maketrans("abdefgiklmnoprstuvz", "абдефгиклмнопрстувз")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    return prepare(root, write_jsonl(root / "rows.jsonl", [{"text": f"{text}\nLine 42."} for text in sentences(1500)]))


def trained(root, corpus, **options):
    output = Output("tokenizer", root / "work", step="train_tokenizer", parents={"corpus": corpus}, root=root)
    run(
        Config(**{"corpus": str(corpus.path), "vocab_size": 500, **options}),
        {"corpus": corpus},
        output,
        Observe.silent(),
    )
    return output.commit()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(("threads", "normalization"), [(1, "none"), (2, "none"), (2, "identifiers")])
def test_training_twice_gives_the_same_digest(tmp_path, corpus, kind, threads, normalization):
    options = {"kind": kind, "threads": threads, "normalization": normalization}
    first, second = (trained(tmp_path / home, corpus, **options) for home in ("one", "two"))
    assert first.digest == second.digest


def test_unigram_and_bpe_give_different_tokenizers(tmp_path, corpus):
    assert trained(tmp_path, corpus, kind="bpe").digest != trained(tmp_path, corpus, kind="unigram").digest


def test_measures_are_computed_on_the_validation_split(tmp_path, corpus):
    made = trained(tmp_path, corpus, vocab_size=1000)
    tokenizer, info = Tokenizer(made.path), atomic.read_json(made.file("tokenizer.json"))
    texts = list(Corpus(corpus).texts("validation"))
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    own, characters = info["tokenizer"], info["characters"]
    assert info["texts"] == len(texts)
    assert own["fertility"] == pytest.approx(tokens / sum(len(text.split()) for text in texts), rel=1e-5)
    assert own["bytes_per_token"] == pytest.approx(sum(map(len, texts)) / tokens, rel=1e-5)
    assert own["round_trip_share"] == characters["round_trip_share"] == 1.0
    assert own["unknown_share"] == characters["unknown_share"] == 0.0
    assert characters["bytes_per_token"] == 1.0
    assert characters["fertility"] > 1.3 * own["fertility"]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_common_last_line_does_not_reduce_compression(tmp_path, corpus, kind):
    """Newlines as a symbol of their own made unigram fall back to single characters on just such texts."""
    info = atomic.read_json(trained(tmp_path, corpus, kind=kind, vocab_size=1000).file("tokenizer.json"))
    assert info["tokenizer"]["bytes_per_token"] > 2


def test_texts_over_the_sentence_limit_are_trained_on(tmp_path):
    rows = [{"text": " ".join(sentences(500, seed))} for seed in range(20)]
    long = prepare(
        tmp_path,
        write_jsonl(tmp_path / "rows.jsonl", rows),
        max_characters=100_000,
        test_share=0.2,
        validation_share=0.2,
    )
    info = atomic.read_json(trained(tmp_path, long, vocab_size=600).file("tokenizer.json"))
    assert info["tokenizer"]["bytes_per_token"] > 1.5


def test_tokenizer_is_trained_on_the_training_split_only(tmp_path, corpus):
    """A character that is in no training text has no piece of its own, and is written in bytes."""
    tokenizer = Tokenizer(trained(tmp_path, corpus).path)
    assert [piece for piece in tokenizer.pieces(tokenizer.encode("\u00df")) if piece.startswith("<0x")] == [
        "<0xC3>",
        "<0x9F>",
    ]


def test_both_sides_of_pairs_are_trained_on_and_measured(tmp_path):
    rows = [{"text": text, "target": text.translate(CYRILLIC)} for text in sentences(400)]
    pairs = prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), target_column="target")
    made = trained(tmp_path, pairs)
    tokenizer, info = Tokenizer(made.path), atomic.read_json(made.file("tokenizer.json"))
    target = next(Corpus(pairs).rows("train", ["target"]))["target"]
    assert not [piece for piece in tokenizer.pieces(tokenizer.encode(target)) if piece.startswith("<0x")]
    assert info["texts"] == 2 * Corpus(pairs).count("validation")
    assert info["tokenizer"]["round_trip_share"] == 1.0


def test_max_texts_sampling_is_deterministic(tmp_path, corpus):
    few = trained(tmp_path, corpus, max_texts=200)
    assert few.digest == trained(tmp_path, corpus, max_texts=200).digest != trained(tmp_path, corpus).digest


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_oversized_vocabulary_error_gives_the_largest_possible_size(tmp_path, kind):
    small = prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", [{"text": text} for text in sentences(60, words=8)]))
    with pytest.raises(
        UserError, match=r"vocab_size=50000 is too large for this corpus; it gives at most \d+"
    ) as error:
        trained(tmp_path / "a", small, kind=kind, vocab_size=50_000)
    largest = int(str(error.value).rsplit(" ", 1)[1])
    assert trained(tmp_path / "b", small, kind=kind, vocab_size=largest).counts["vocab_size"] == largest


def test_undersized_vocabulary_error_names_character_coverage(tmp_path):
    rows = [{"text": "".join(chr(0x4E00 + (n * 31 + k * 17) % 3000) for k in range(40))} for n in range(300)]
    chinese = prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows))
    with pytest.raises(UserError, match=r"vocab_size=400 is too small.*character_coverage"):
        trained(tmp_path, chinese, vocab_size=400)


def test_signal_while_reading_texts_raises_interrupted(tmp_path, corpus, monkeypatch):
    """sentencepiece makes a RuntimeError of what its iterator raises."""
    read = Corpus(corpus)
    texts = read.text_rows

    def until_a_signal(split):
        for number, row in enumerate(texts(split)):
            if number == 5:
                os.kill(os.getpid(), signal.SIGINT)
            yield row

    monkeypatch.setattr(read, "text_rows", until_a_signal)
    with listening() as observe, pytest.raises(Interrupted), observe.span("step"):
        train(Config(corpus=str(corpus.path), vocab_size=400), read, tmp_path / "model", observe)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(
    "rows",
    [
        [{"text": text} for text in sentences(60, words=8)],
        [{"text": f"row {number:02d}"} for number in range(40)],
        [{"text": "".join(chr(0x4E00 + (n * 31 + k * 17) % 3000) for k in range(40))} for n in range(120)],
        [{"text": f"{'ab' * (number % 7)} \N{GRINNING FACE}{number}"} for number in range(60)],
    ],
    ids=["few words", "hardly any words", "more characters than aimed at", "symbols"],
)
def test_default_vocabulary_size_is_fitted_to_the_corpus(tmp_path, kind, rows):
    small = prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), min_characters=1)
    observe = Recording()
    output = Output("tokenizer", tmp_path / "work", step="train_tokenizer", parents={"corpus": small}, root=tmp_path)
    run(Config(corpus=str(small.path), kind=kind), {"corpus": small}, output, observe)
    made = output.commit()
    assert Config(corpus="c").vocab_size == 0
    ((_, told),) = observe.of("tokenizer.fitted")
    assert told == f"vocab_size={made.counts['vocab_size']}, fitted to the corpus"
    tokenizer = Tokenizer(made.path)
    for text in Corpus(small).texts("train"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("characters", "limit", "size"),
    [(0, 8192, 1000), (300_000, 8192, 2000), (26_000_000, 8192, 8192), (26_000_000, 4096, 4096), (10, 400, 400)],
)
def test_fitted_size_grows_with_text_up_to_a_limit(characters, limit, size):
    assert fitting_size(characters, limit) == size


@pytest.mark.parametrize("size", [1, 299, -1, 256_001])
def test_vocabulary_size_out_of_range_is_rejected(size):
    with pytest.raises(ValidationError, match="vocab_size"):
        Config(corpus="c", vocab_size=size)


WRITTEN = "HTTPServer.getItem2D_from(numpy) ÄRGER"


@pytest.mark.parametrize(
    ("normalization", "pieces"),
    [
        ("none", "HTTPServer.getItem2D_from(numpy) ÄRGER"),
        ("identifiers", " http server . get item2 d from ( numpy ) ärger"),
    ],
)
def test_normalization_is_part_of_the_tokenizer(tmp_path, corpus, normalization, pieces):
    made = trained(tmp_path, corpus, normalization=normalization, character_coverage=1.0)
    tokenizer = Tokenizer(made.path)
    assert tokenizer.decode(tokenizer.encode(WRITTEN)) == pieces.strip()
    ids, offsets = tokenizer.encode_with_offsets(WRITTEN)
    written = [WRITTEN[start:end] for start, end in offsets]
    assert ids == tokenizer.encode(WRITTEN)
    assert "".join(written) == WRITTEN, "offsets are those of the text as written"
    info = atomic.read_json(made.file("tokenizer.json"))
    assert info.get("normalization", "none") == tokenizer.normalization == normalization
    assert info["tokenizer"]["round_trip_share"] == 1.0
    assert tokenizer.restores(WRITTEN, ids)
    assert not tokenizer.restores(WRITTEN, ids[:-1]), "what is lost is no normalization"


def test_imported_tokenizer_takes_no_normalization():
    with pytest.raises(ValidationError, match=r"source.*its own normalization"):
        Config(corpus="c", source="hf:folder", normalization="identifiers")
