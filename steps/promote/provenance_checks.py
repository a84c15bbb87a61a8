"""Checks of a candidate's record: that it is the version that was registered, its origins, and that its test is fair."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from artifacts.corpus import Corpus
from artifacts.text import normal
from steps.promote.check_context import Case, Finding

_BITS = 64  # of a text's hash: equal by chance once in billions of rows
_COMES_BACK = 0.99  # of the texts, from a tokenizer of ours
_SHORT = 12  # digits of a digest that people read


def integrity(case: Case) -> Finding:
    """Check that checkpoint and code are unchanged since registration."""
    who = case.candidate.who
    changed, unsaid = who.changed_parts(), [name for name in ("checkpoint", "code") if not who.tag(name)]
    numbers = {"changed": changed}
    if changed:
        return Finding("unchanged", "failed", f"changed since it was registered: {' and '.join(changed)}", numbers)
    if unsaid:
        reason = f"no digest of its {' and '.join(unsaid)} was recorded: register it again"
        return Finding("unchanged", "unknown", reason, numbers)
    return Finding("unchanged", "passed", "checkpoint and code have the digests that were registered", numbers)


def lineage(case: Case) -> Finding:
    """Check that its lineage is complete, down to data and commit."""
    who = case.candidate.who
    made = _made_from(who.tag("lineage"))
    missing = [kind for kind in ("corpus", "checkpoint") if kind not in {entry["kind"] for entry in made}]
    if who.tag("commit") in ("", "unknown") and not who.tag("code"):  # a copy without git is known by its code's digest
        missing.append("commit")
    numbers = {"lineage": made, "commit": who.tag("commit")}
    if missing:
        return Finding("lineage", "failed", f"does not say its {', '.join(missing)}: register it again", numbers)
    return Finding(
        "lineage", "passed", f"made from {len(made)} artifacts at commit {who.tag('commit')[:_SHORT]}", numbers
    )


def licence(case: Case) -> Finding:
    """The licence of the data is stated."""
    tag = case.candidate.who.tag("licence")
    stated = tag not in ("", "not stated")
    words = tag if stated else "not stated: give prepare_data its license"
    return Finding("licence", "passed" if stated else "failed", words, {"licence": tag})


def leaks(case: Case) -> Finding:
    """Check that no test row is in any corpus that the candidate was trained on."""
    digests = {entry["digest"] for entry in _made_from(case.candidate.who.tag("lineage")) if entry["kind"] == "corpus"}
    content, split = case.corpus.info.get("content"), case.policy.split
    written = list(_rows(case.corpus, split))
    # Pairs are compared on both sides, but with a corpus of another kind on the text alone.
    whole, texts = ({_hash(*row[:width]): row[0] for row in written} for width in (None, 1))
    found, away = dict[int, str](), []
    for digest in sorted(digests | {case.corpus.artifact.digest}):
        made = case.store.find("corpus", digest)
        if made is None:
            away.append(digest[:_SHORT])
            continue
        corpus = Corpus(made)
        alike = corpus.info.get("content") == content
        for row in _rows(corpus, "train"):
            asked = whole if alike else texts
            if (known := _hash(*row[: None if alike else 1])) in asked:
                found[known] = asked[known]
    numbers = {"rows": len(written), "in_training": len(found), "corpora": sorted(digests), "not_here": away}
    if found:
        first = " ".join(next(iter(found.values())).split())[:60]
        summary = (
            f"{len(found):,} of the {len(written):,} rows asked are in its training data, the first begins {first!r}"
        )
        if len(found) > case.policy.leaks * len(written):
            return Finding("leaks", "failed", summary, numbers)
        if not away:
            return Finding("leaks", "passed", f"{summary}; up to {case.policy.leaks:.1%} may be", numbers)
    if away:
        return Finding("leaks", "unknown", f"corpus {', '.join(away)} is not in this store any more", numbers)
    return Finding("leaks", "passed", f"none of the {len(written):,} rows asked is in its training data", numbers)


def round_trip(case: Case) -> Finding:
    """Its tokenizer gives texts back as they were, but for the normalization that it was trained with."""
    from artifacts.tokenizer import Tokenizer

    folder = case.candidate.who.checkpoint / "tokenizer"
    if not case.on_text or not folder.is_dir():
        return Finding("round_trip", "passed", "no text is tokenized")
    tokenizer = Tokenizer(folder)
    texts = case.questions["text"].astype(str).tolist()
    same = sum(tokenizer.restores(text, ids) for ids, text in zip(tokenizer.encode_batch(texts), texts, strict=True))
    share = same / len(texts)
    how = "exactly" if tokenizer.normalization == "none" else f"as normalization={tokenizer.normalization} writes them"
    summary = f"{share:.2%} of {len(texts):,} texts come back {how}"
    if tokenizer.info.get("kind") == "huggingface":  # many change texts by design: case, spaces
        return Finding("round_trip", "passed", f"{summary}; the tokenizer is not ours", {"share": share})
    return Finding("round_trip", "passed" if share >= _COMES_BACK else "failed", summary, {"share": share})


def _made_from(tag: str) -> list[dict[str, str]]:
    return [dict(zip(("kind", "digest", "step"), entry, strict=True)) for entry in json.loads(tag or "[]")]


def _rows(corpus: Corpus, split: str) -> Iterator[tuple[str, ...]]:
    """Text of each row; of images, a hash of their content."""
    if corpus.info.get("content") != "images":
        yield from corpus.text_rows(split)
        return
    for row in corpus.rows(split, ["image"]):
        yield (hashlib.sha256(row["image"]).hexdigest(),)


def _hash(*written: str) -> int:
    """Hash of a row's texts, ignoring case, spaces and the form of accents (NFC, NFD)."""
    plain = "\0".join(normal(text).casefold() for text in written)
    return int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=_BITS // 8).digest(), "big")
