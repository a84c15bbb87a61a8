"""Names of the splits that data brings. A split that it does not bring is drawn from its training rows."""

SPLIT_NAMES = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation",
    "dev": "validation", "development": "validation", "test": "test", "testing": "test",
}  # fmt: skip


def given_split(name: str) -> str | None:
    """The split of a name as data sets write it, in any case; None if it is none."""
    return SPLIT_NAMES.get(name.strip().lower())
