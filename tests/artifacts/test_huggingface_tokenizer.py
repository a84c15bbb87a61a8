"""Tokenizers taken over from folders of transformers: the same ids, and special ids from the file."""

import io
import json

import pytest
import sentencepiece
import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from artifacts import atomic
from artifacts.artifact import ArtifactError
from artifacts.huggingface_tokenizer import files, has_tokenizer, take_over
from artifacts.tokenizer import INFO, NONE, Tokenizer
from tests.prepared import sentences

TEXTS = [
    "apple orchard and river boat",
    "caf\u00e9 \U0001f600",
    "two  spaces",
    "a [MASK] </s> in a text",
    "",
    "Line\nline",
]


def taken(folder, place):
    place.mkdir()
    atomic.write_json(place / INFO, take_over(folder, place.joinpath))
    return Tokenizer(place)


def trained_spm(file, texts, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, model_type="unigram", vocab_size=120, minloglevel=2,
        num_threads=1, hard_vocab_limit=False, **options,
    )  # fmt: skip
    file.write_bytes(model.getvalue())


@pytest.fixture
def bert(tmp_path):
    made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    unused = [f"[unused{i}]" for i in range(4)]
    special = ["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(sentences(300), trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    ids = [("[CLS]", made.token_to_id("[CLS]")), ("[SEP]", made.token_to_id("[SEP]"))]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    folder = tmp_path / "bert"
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **named).save_pretrained(folder)
    return folder


def test_tokenizers_library_file_keeps_its_token_ids(bert, tmp_path):
    own, theirs = taken(bert, tmp_path / "own"), transformers.AutoTokenizer.from_pretrained(bert)
    assert (own.pad_id, own.unk_id, own.cls_id, own.sep_id, own.mask_id) == (0, 5, 6, 7, 8)
    assert own.opens
    assert own.vocab_size == len(theirs)
    text = sentences(1)[0]
    assert own.with_ends(own.encode(text), 100) == theirs(text)["input_ids"]
    assert own.encode_batch(TEXTS) == [own.encode(text) for text in TEXTS]
    assert own.decode([6, *own.encode(text), 7, 0, 0]) == text
    assert not set(own.encode("a [MASK] in a text")) & {8}, "what looks like a special token in a text is text"
    assert own.pieces([6, 8]) == ["[CLS]", "[MASK]"]
    assert own.vocabulary()[:2] == ["[PAD]", "[unused0]"]
    ids, offsets = own.encode_with_offsets(text)
    assert ids == own.encode(text)
    assert text[slice(*offsets[0])] == own.pieces(ids)[0]


def test_byte_level_bpe_uses_one_token_for_begin_end_and_padding(tmp_path):
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        sentences(300), trainers.BpeTrainer(vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    )
    names = dict.fromkeys(("bos_token", "eos_token"), "<|endoftext|>")
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(tmp_path / "gpt2")
    own = taken(tmp_path / "gpt2", tmp_path / "own")
    assert (own.pad_id, own.cls_id, own.sep_id) == (0, 0, 0)
    assert (own.unk_id, own.mask_id) == (NONE, NONE)
    assert (own.special_ids, own.never, own.first_id) == ((0,), (), 1), "what ends a text may be made"
    assert [own.decode(own.encode(text)) for text in TEXTS] == TEXTS


def test_t5_sources_have_no_start_token_and_targets_begin_with_padding(tmp_path):
    folder = tmp_path / "t5"
    folder.mkdir()
    trained_spm(folder / "spiece.model", sentences(300), pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    (folder / "config.json").write_text(
        json.dumps({"is_encoder_decoder": True, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0})
    )
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "T5Tokenizer", "unk_token": "<unk>", "eos_token": "</s>", "extra_ids": 0})
    )
    own = taken(folder, tmp_path / "own")
    assert (own.cls_id, own.sep_id, own.unk_id, own.mask_id, own.opens) == (0, 1, 2, NONE, False)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for text in ("apple orchard and river boat", "river  boat"):
        assert own.with_ends(own.encode(text), 100) == theirs(text)["input_ids"]
    assert own.with_ends(own.encode("apple orchard and river boat"), 4)[-1] == 1
    assert own.decode(own.encode(sentences(1)[0])) == sentences(1)[0]


@pytest.fixture
def marian(tmp_path):
    """Two sentencepiece models whose pieces one table numbers."""
    folder = tmp_path / "marian"
    folder.mkdir()
    trained_spm(folder / "source.spm", sentences(300))
    trained_spm(folder / "target.spm", [text[::-1] for text in sentences(300)])
    pieces = []
    for name in ("source.spm", "target.spm"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
        pieces += [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    table = {piece: i for i, piece in enumerate(["</s>", "<unk>", *dict.fromkeys(pieces), "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(table))
    about = {"is_encoder_decoder": True, "decoder_start_token_id": table["<pad>"], "eos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(about | {"pad_token_id": table["<pad>"], "model_type": "marian"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "MarianTokenizer", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
        "source_lang": "en", "target_lang": "ne",
    }))  # fmt: skip
    return folder


def test_marian_tokenizes_targets_with_a_separate_model(marian, tmp_path):
    own = taken(marian, tmp_path / "own")
    with pytest.warns(UserWarning, match="sacremoses"):  # it would change quotation marks before it cuts; we don't
        theirs = transformers.MarianTokenizer.from_pretrained(marian)
    assert own.vocab_size == len(theirs)
    assert (own.sep_id, own.cls_id, own.opens) == (0, own.pad_id, False)
    source, target = sentences(1)[0], sentences(1)[0][::-1]
    assert own.with_ends(own.encode(source), 100) == theirs(source)["input_ids"]
    assert [*own.target.encode(target), 0] == theirs(text_target=target)["input_ids"]
    assert own.target.encode(target) != own.encode(target)
    assert own.target.decode(own.target.encode(target)) == target
    assert own.target.special_ids == own.special_ids


def test_files_lists_tokenizer_files_for_fingerprint(bert, marian):
    assert [file.name for file in files(bert)] == ["tokenizer.json", "tokenizer_config.json"]
    assert {file.name for file in files(marian)} >= {"source.spm", "target.spm", "vocab.json", "config.json"}


def test_folder_without_tokenizer_is_rejected(tmp_path):
    assert not has_tokenizer(tmp_path)
    with pytest.raises(
        ArtifactError, match=r"no tokenizer that is read: tokenizer.json, or source.spm and .*save_pretrained"
    ):
        take_over(tmp_path, tmp_path.joinpath)


def test_tokenizer_without_end_token_is_rejected(bert, tmp_path):
    (bert / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    with pytest.raises(ArtifactError, match=r"names neither sep_token nor eos_token"):
        take_over(bert, tmp_path.joinpath)


def test_error_names_file_with_invalid_json(bert, tmp_path):
    (bert / "tokenizer_config.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"tokenizer_config.json: cannot be read"):
        take_over(bert, tmp_path.joinpath)


def test_digest_is_equal_for_copies_and_differs_for_changed_files(bert, tmp_path):
    first = taken(bert, tmp_path / "first")
    assert first.digest == taken(bert, tmp_path / "second").digest
    text = (bert / "tokenizer.json").read_text()
    (bert / "tokenizer.json").write_text(text + " ")
    assert taken(bert, tmp_path / "third").digest != first.digest
