"""Parameters of `prepare_data`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from steps.contract import ThreadedConfig

OUTPUT = "corpus"


class Config(ThreadedConfig):
    source: str = Field(
        "docs",
        min_length=1,
        description="`docs` or another embedded source, a path or glob of files, a folder of images with "
        "a folder for each class, or `hf:name`",
    )
    train: str = Field(
        "", description="Source of the training rows, in place of `source`, where each split has its own"
    )
    validation: str = Field("", description="Source of the validation rows; empty: drawn from the training rows")
    test: str = Field("", description="Source of the test rows; empty: drawn from the training rows")
    text_column: str = Field("text", min_length=1, description="Column that holds the text (not for docs and txt)")
    target_column: str = Field("", description="Column that holds the target of a pair; empty: no pairs")
    spans_column: str = Field("", description="Column of marked places, [[start, end, kind], ...]; empty: none")
    label_column: str = Field("", description="Column that holds the label; empty: no labels")
    group_column: str = Field("", description="Rows with the same value stay in one split; empty: each row by itself")
    split_column: str = Field("", description="Column that holds train, validation or test; empty: drawn by the shares")
    quoting: Literal["auto", "csv", "none"] = Field(
        "auto", description="Quotation marks around fields, as CSV has them; auto: in CSV files, not in TSV files"
    )
    hf_config: str = Field("", description="Configuration of the `hf:` data set")
    hf_split: str = Field(
        "",
        description="Split of the `hf:` data set to read alone; empty: its own train, validation and test if it has a "
        "test, else train",
    )
    hf_revision: str = Field("", description="Commit, tag or branch of the `hf:` data set; empty: its newest")
    libraries: str = Field("", description="docs: comma list of libraries to read; empty: all")
    max_rows: int = Field(
        0, ge=0, description="Stop after so many rows; sources for validation and test come first; 0: read all"
    )
    rows: Literal["line", "paragraph", "file"] = Field(
        "line", description="What is a row of a txt file; paragraphs have empty lines between them"
    )
    max_rows_per_label: int = Field(0, ge=0, description="Rows of a label beyond this lose the label; 0: no limit")
    min_rows_per_label: int = Field(
        0, ge=0, description="Rows of a label with fewer lose it; 0: only if it cannot be in every split"
    )
    min_characters: int = Field(1, ge=1, description="Shorter texts are left out")
    max_characters: int = Field(4000, ge=1, description="Longer texts are split or cut")
    long_texts: Literal["split", "cut"] = Field(
        "split",
        description="Longer texts become several rows, of which the first has the label, or are cut; pairs are cut",
    )
    image_size: int = Field(
        0, ge=0, le=1024, description="Images are scaled to so many pixels a side; 0: all must be as large as the first"
    )
    image_mode: Literal["grey", "colour", "keep"] = Field(
        "keep", description="Images are made grey or colour; keep: as the first is, where no colour is lost by that"
    )
    validation_share: float = Field(0.08, gt=0, lt=0.5, description="Share of the groups for validation")
    test_share: float = Field(0.12, gt=0, lt=0.5, description="Share of the groups for the test")
    duplicates: Literal["near", "exact", "off"] = Field(
        "near", description="Which duplicates are left out; rows that differ in label or target are none"
    )
    near_duplicate_threshold: float = Field(
        0.8, gt=0, le=1, description="Jaccard similarity of word 5-grams; 1: as duplicates=exact"
    )
    leaks: Literal["remove", "keep", "error"] = Field(
        "remove", description="Rows for training that repeat one of a validation or test split that the data brings"
    )
    allowed_bad_share: float = Field(0.001, ge=0, le=1, description="Share of rows that may be quarantined")
    license: str = Field("", description="Licence of the data, for the model card; empty: as the source says")
    seed: int = Field(1, ge=0, description="Fixes the split")

    @model_validator(mode="before")
    @classmethod
    def _train_is_the_source(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("train"):
            return {**values, "source": values["train"]}  # so that an error names it, and no embedded source counts
        return values

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Config:
        if self.validation_share + self.test_share >= 0.9:
            raise ValueError("validation_share and test_share leave less than a tenth for training")
        if self.min_characters > self.max_characters:
            raise ValueError(f"min_characters={self.min_characters} is over max_characters={self.max_characters}")
        if self.target_column and self.spans_column:
            raise ValueError("target_column makes pairs, spans_column marks texts: give one of them")
        if self.split_column and (self.validation or self.test):
            raise ValueError("split_column and sources for validation or test both give the splits: leave one empty")
        return self
