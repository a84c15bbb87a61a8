"""A network to show: a preset with changes, or a checkpoint's folder; its config, names and shapes of its parameters.

Of transformers on text they are computed (`models/parameters.py`); of a checkpoint they stand at the head of its weights;
of other families the network itself is asked, which loads torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from command_line import nearest
from models import parameters, presets
from models.config import ModelConfig
from models.parameters import Shapes

Part = Literal["encoder", "decoder", "encoder_decoder"]
Head = Literal["masked_lm", "lm", "classifier", "none", "own"]
PARTS: tuple[Part, ...] = ("encoder", "decoder", "encoder_decoder")
HEADS: tuple[Head, ...] = ("masked_lm", "lm", "classifier", "none")
CLASSES: dict[Part, Any] = {"encoder": "Encoder", "decoder": "Decoder", "encoder_decoder": "EncoderDecoder"}
DEFAULT = "default"  # the architecture without a preset: that of the pipeline `docs`
_VOCABULARY = 8192  # where neither a paper nor the user names one: that of the pipeline `docs`
_IMAGE = {"image_height": 224, "image_width": 224, "image_channels": 3}  # likewise: ImageNet's usual size
_LABELS = 10
_HEADER = 100_000_000  # bytes; longer, it is no header (the limit of safetensors itself)


class ShowError(ValueError):
    """A network that does not exist or cannot be built; the message names the remedy."""


@dataclass(frozen=True)
class Subject:
    """A network, as far as it can be known without its weights."""

    name: str
    headline: str
    config: ModelConfig
    part: Part
    head: Head
    shapes: Shapes
    published: str = ""  # parameters, as the paper names them
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Parameters in all."""
        return parameters.count(self.shapes)

    @property
    def is_text_transformer(self) -> bool:
        """Whether it is a transformer on text, of which everything is a formula."""
        return on_text(self.config)


@dataclass(frozen=True)
class Choice:
    """Options of the user besides the name; empty: those of the preset's paper."""

    settings: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    head: str = ""
    labels: int = 0


def on_text(config: ModelConfig) -> bool:
    """Whether it is a transformer on text."""
    return config.network == "transformer" and not config.image_height


def find(name: str, choice: Choice) -> Subject:
    """The subject with this name. ShowError if there is none."""
    if name == DEFAULT or name in presets.available():
        return preset(name, choice)
    folder = Path(name)
    if folder.is_dir():
        if choice != Choice():
            raise ShowError(
                f"{name}: a checkpoint cannot be changed; --set, --vocab_size, --part, --head are for presets"
            )
        return checkpoint(folder)
    if "/" in name or folder.suffix:
        raise ShowError(f"{name}: no such folder; a checkpoint is one with model.json and weights.safetensors")
    raise ShowError(f"no preset and no folder {name!r}{nearest(name, [DEFAULT, *presets.available()])}")


def preset(name: str, choice: Choice) -> Subject:
    """A preset, with the paper's own vocabulary or image size unless others are given."""
    own = name != DEFAULT
    paper = presets.paper(name) if own else {}
    unknown = [key for key in choice.settings if key not in ModelConfig.model_fields or key == "preset"]
    if unknown:
        fields = [key for key in ModelConfig.model_fields if key != "preset"]
        raise ShowError(f"--set {unknown[0]}: no such field{nearest(unknown[0], fields)}")
    fixed = ("vocab_size", "image_height", "image_width", "image_channels")
    data: dict[str, Any] = {key: paper[key] for key in fixed if key in paper}
    config = _check({"preset": name if own else "", **data, **choice.settings}, "")
    if not config.image_height and (config.patch_size or config.convolutional_stem):
        config = config.with_changes(_IMAGE)
    if not config.image_height and not config.vocab_size:
        config = config.with_changes({"vocab_size": _VOCABULARY})
    part = _part(choice.part or str(paper.get("part", "")), config)
    head = _head(choice.head, part, config)
    headline = presets.headline(name) if own else "the architecture without a preset: the pipeline docs"
    shapes = {**_body(part, config), **_top(head, config, choice.labels or int(paper.get("labels", _LABELS)))}
    published = str(paper.get("parameters", "")) if not choice.settings else ""
    return Subject(name, headline, config, part, head, shapes, published, presets.remarks(name) if own else {})


def checkpoint(folder: Path) -> Subject:
    """A checkpoint, from its config and the head of its weights."""
    try:
        config = _check(json.loads((folder / "model.json").read_text(encoding="utf-8")), f"{folder / 'model.json'}: ")
        task = json.loads((folder / "task.json").read_text(encoding="utf-8"))["task"]
        stored = _header(folder / "weights.safetensors")
    except FileNotFoundError as error:
        raise ShowError(f"{error.filename}: missing; {folder} is no checkpoint") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ShowError(f"{folder}: model.json or task.json is broken ({error}); train it again") from None
    shapes = dict(sorted(stored.items(), key=lambda item: _order(item[0])))
    held = {name.partition(".")[0] for name in shapes}
    part: Part = "decoder" if "decoder" in held else "encoder"
    part = "encoder_decoder" if {"encoder", "decoder"} <= held else part
    return Subject(folder.name, f"a checkpoint, trained for {task}", config, part, _stored_head(shapes), shapes)


def _check(values: Mapping[str, Any], where: str) -> ModelConfig:
    try:
        return ModelConfig(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        field_name = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        raise ShowError(f"{where}{f'{field_name}: ' if field_name else ''}{message}") from None


def _part(name: str, config: ModelConfig) -> Part:
    if on_text(config):
        return next((part for part in PARTS if part == name), "encoder")
    from models.torch.introspection import parts_of

    there = [part for part in PARTS if CLASSES[part] in parts_of(config)]
    if not there:
        raise ShowError(f"network={config.network}: no file models/torch/{config.network}.py with a network in it")
    if name and name not in there:
        raise ShowError(f"network={config.network} has no {name}; it has {', '.join(there)}")
    return next((part for part in there if part == name), there[0])


def _head(name: str, part: Part, config: ModelConfig) -> Head:
    usual: Head = "masked_lm" if part == "encoder" else "lm"
    if config.image_height or (part == "encoder" and config.network != "transformer"):
        usual = "classifier"
    head = next((head for head in HEADS if head == name), usual)
    if head == "masked_lm" and part != "encoder":
        raise ShowError(f"--head masked_lm stands on an encoder, not on a {part}")
    if head in ("masked_lm", "lm") and config.image_height:
        raise ShowError(f"--head {head} is for text; images have classifier or none")
    return head


def _body(part: Part, config: ModelConfig) -> Shapes:
    if on_text(config):
        if part == "encoder_decoder":
            return parameters.encoder_decoder(config)
        found = parameters.encoder(config) if part == "encoder" else parameters.decoder(config)
    else:
        from models.torch.introspection import shapes_of

        try:
            found = shapes_of(CLASSES[part], config)
        except ValueError as error:
            raise ShowError(str(error)) from None
        if part == "encoder_decoder":
            return found
    return parameters.under(part, found)


def _top(head: Head, config: ModelConfig, labels: int) -> Shapes:
    if head == "classifier":
        # On images without a hidden layer: ViT, 3.1, fine-tunes without one, and convolutional networks had none.
        made_of = parameters.classifier(config, labels, hidden=not config.image_height)
        return parameters.under("classifier", made_of)
    made = {"masked_lm": parameters.masked_lm_head, "lm": parameters.lm_head}.get(head)
    return parameters.under("head", made(config)) if made else {}


def _stored_head(shapes: Shapes) -> Head:
    """The head of a checkpoint, by its parameters; `own` if it is none of those above."""
    held = {name.partition(".")[0] for name in shapes}
    if "classifier" in held:
        return "classifier"
    if "head" not in held:
        return "lm" if "decoder" in held else "none"
    return "masked_lm" if "head.bias" in shapes else "lm" if "decoder" in held else "own"


def _header(file: Path) -> Shapes:
    """Names and shapes of the tensors in a safetensors file: 8 bytes say how long the JSON is that comes next."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        head = stream.read(length) if length <= _HEADER else b""
    try:
        found = json.loads(head)
        return {name: tuple(map(int, about["shape"])) for name, about in found.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ShowError(f"{file}: no safetensors file, or broken; train it again") from None


# As a network runs; what is not named here stands between layers and the last norm.
_RANK = {"encoder": 0, "decoder": 1, "embedding": 0, "layers": 1, "final_norm": 3, "head": 4, "classifier": 4}
_WITHIN = {  # a layer's modules, as they are run
    name: rank
    for rank, name in enumerate(
        ["attention_norm", "attention", "cross_norm", "cross", "feed_forward_norm", "feed_forward", "qkv", "query",
         "key_value", "inner", "outer", "dense", "norm", "output", "weight", "bias"]
    )
}  # fmt: skip


def _order(name: str) -> list[tuple[int, int, str]]:
    """Sorts parameters as the network runs, where a file has them in an order of its own."""
    return [
        (_RANK.get(word, 2), int(word) if re.fullmatch(r"\d+", word) else _WITHIN.get(word, 0), word)
        for word in name.split(".")
    ]
