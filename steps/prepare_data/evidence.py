"""Evidence that a line of a CSV file is a row, and no part of a text of several lines."""

from __future__ import annotations


class Evidence:
    """Tells lines that are rows from lines of a text: by their number of fields, and by labels seen before."""

    _MOST = 10_000  # labels that are kept
    _MANY_LINES = 8  # so many lines with a row's fields are rows, where labels say nothing
    _SURE = 4  # characters of known labels, and one for each line, that lines of a text do not have by chance

    def __init__(self, header: list[str], delimiter: str, label: str) -> None:
        names = [name.strip() for name in header]
        self._width, self._delimiter = len(header), delimiter
        self._place = names.index(label) if label in names else None
        self._labels: set[str] = set()
        self.rows = 0  # that were read

    def learn(self, fields: list[str]) -> None:
        """Remember the label of a record of one line, far from any broken one."""
        if self.fits(fields):
            self.rows += 1
            if self._place is not None and len(self._labels) < self._MOST:
                self._labels.add(fields[self._place].strip())

    def fits(self, fields: list[str]) -> bool:
        """Whether there are as many fields as in the header."""
        return len(fields) == self._width

    @property
    def tells(self) -> bool:
        """Whether labels repeat, so that an unknown one means something."""
        return self._place is not None and self.rows >= 8 and 2 * len(self._labels) <= self.rows

    def knows(self, fields: list[str]) -> bool:
        """Whether the label of these fields was seen before."""
        return self._place is not None and fields[self._place].strip() in self._labels

    def _fitting(self, texts: list[str]) -> list[list[str]]:
        """The lines that have a row's fields, split, if these are nearly all."""
        texts = [text for text in texts if text.strip()]
        fitting = [parts for parts in (text.split(self._delimiter) for text in texts) if self.fits(parts)]
        return fitting if len(fitting) >= 0.9 * len(texts) else []

    def could_be_rows(self, texts: list[str]) -> bool:
        """Whether nearly all of these lines have a row's fields."""
        return bool(self._fitting(texts))

    def are_rows(self, texts: list[str], fields: list[str]) -> bool:
        """Whether the lines of a record, which reads as these fields, look like rows of their own."""
        label = fields[self._place] if self._place is not None and self.fits(fields) else ""
        if "\n" in label and self.tells and not self.knows(fields):
            return True
        # The first and the last may have a comma in a quote
        fitting = self._fitting(texts) or self._fitting(texts[1:-1])
        if len(fitting) < 2 or self._width < 2:
            return False
        if not self.fits(fields) or ("\n" in label.strip() and len(fitting) > 2):
            return True
        if not self.tells or self._place is None:
            return len(fitting) >= self._MANY_LINES
        labels = [parts[self._place].strip().strip('"').strip() for parts in fitting]
        known = [label for label in labels if label and label in self._labels]
        return len(known) >= 0.9 * len(labels) and sum(1 + len(label) for label in known[1:]) >= self._SURE

    def is_stray(self, texts: list[str], fields: list[str]) -> bool:
        """Whether a record with an unknown label has a quote too many: in the label, or one that has no other."""
        label = "" if self._place is None else fields[self._place]
        text = "".join(texts)
        if '"' in label and label.replace('"', '""') not in text:
            return True
        return bool(label.strip()) and self.tells and text.count('"') % 2 == 1
