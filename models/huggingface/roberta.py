"""RoBERTa (Liu et al. 2019): BERT with positions that begin behind padding's, and heads of its own.

Position p has row p + pad_id + 1 of its table (fairseq's make_positions); the rows before are never used, so they are not
read and are written as zeros.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from models.config import ModelConfig
from models.huggingface.bert import Bert
from models.huggingface.family import Parts, Row, both


class Roberta(Bert):
    """`RobertaModel`, `RobertaForMaskedLM`, `RobertaForSequenceClassification`."""

    model_type, prefix = "roberta", "roberta."
    classes: ClassVar = {
        "": "RobertaModel",
        "masked_lm": "RobertaForMaskedLM",
        "classifier": "RobertaForSequenceClassification",
    }
    left_out = (r"embeddings\.position_ids$", r"^(roberta\.)?pooler\.")  # the pooler is trained for nothing
    tied: ClassVar = {"lm_head.decoder.weight": "encoder.embedding.tokens.weight", "lm_head.decoder.bias": "head.bias"}

    def offset_of(self, pad_id: int) -> int:
        return pad_id + 1

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        # Its masked-LM head has GELU whatever the body has.
        return super().limits(config, tuple(part for part in parts if part != "masked_lm"))

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        return parts_held(names)

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        return self.body(config, prefix) + head_rows(parts)


def parts_held(names: Iterable[str]) -> Parts:
    """The encoder, and which of RoBERTa's heads these tensors are of."""
    heads = {"masked_lm": "lm_head.dense.weight", "classifier": "classifier.dense.weight"}
    held = set(names)
    return ("encoder", *[part for part, name in heads.items() if name in held])


def head_rows(parts: Parts) -> list[Row]:
    """The rows of its heads, which ESM has as well."""
    rows = []
    if "masked_lm" in parts:
        rows += [*both("head.dense", "lm_head.dense"), *both("head.norm", "lm_head.layer_norm")]
        rows.append(Row("head.bias", ("lm_head.bias",)))
    if "classifier" in parts:
        rows += both("classifier.dense", "classifier.dense") + both("classifier.output", "classifier.out_proj")
    return rows


FAMILY = Roberta()
