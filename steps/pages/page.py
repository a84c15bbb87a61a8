"""The report's page: one file that needs nothing else, readable on a phone, in the dark and by a screen reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.pages.charts import Curves, anchor, draw, table
from tasks.evaluation import Block, Lines, Table, Texts
from training.batches import evenly

if TYPE_CHECKING:
    from jinja2 import Template

DIGITS = 16  # of a digest: as many as the name of an artifact's folder begins with
_SAMPLES = 6  # times of a training at which its samples are shown
_FOLDER = Path(__file__).parent


def render(*, title: str, summary: str, scores: Mapping[str, Any], blocks: Sequence[Block], footer: str) -> str:
    """The page's HTML. All text is escaped by the template or by the drawers."""
    compared = {"this model": scores["metrics"], **scores["baselines"]}
    metric = scores["primary_metric"]
    better = 1 if scores["higher_is_better"] else -1
    entries = [_entry(name, found[metric], better) for name, found in compared.items()]
    rows = [[name, *(_value(found.get(metric)) for metric in scores["metrics"])] for name, found in compared.items()]
    columns = ["answers by", *(readable_metric(name) for name in scores["metrics"])]
    titles = ["Score", *(block.title for block in blocks)]
    return _template("page.html").render(
        title=title, summary=summary, metric=readable_metric(metric), rows=f"{scores['rows']:,}",
        split=scores["split"], entries=entries, scores=table(columns, rows, "All metrics"),
        sections=[draw(block) for block in blocks], contents=[(anchor(name), name) for name in titles], footer=footer,
    )  # fmt: skip


def render_decision(
    *, title: str, summary: str, outcome: str, reason: str, override: str, bad: bool, blocks: Sequence[Block], footer: str
) -> str:  # fmt: skip
    """The page of a gate decision, like the report's but for its beginning. `bad` shows it in red."""
    titles = ["Decision", *(block.title for block in blocks)]
    return _template("decision.html").render(
        title=title, summary=summary, outcome=outcome, reason=reason, override=override, bad=bad,
        open=outcome == "undecided", sections=[draw(block) for block in blocks],
        contents=[(anchor(name), name) for name in titles], footer=footer,
    )  # fmt: skip


def _template(name: str) -> Template:
    from jinja2 import Environment, FileSystemLoader

    return Environment(autoescape=True, loader=FileSystemLoader(_FOLDER)).get_template(name)


def readable_metric(metric: str) -> str:
    """`macro_f1` as people write it: `macro F1`."""
    return metric.replace("_", " ").replace("f1", "F1")


def _value(score: Mapping[str, Any] | None) -> str:
    """A metric with its interval; a baseline may be without it (a compressor has no tokens)."""
    if score is None:
        return "none"
    return f"{score['value']:.3f}" + (f"  [{score['low']:.3f}, {score['high']:.3f}]" if "low" in score else "")


def _entry(name: str, score: Mapping[str, Any], better: int) -> dict[str, str]:
    interval = f"{score['low']:.3f} to {score['high']:.3f}" if "low" in score else ""
    ahead = score.get("ahead")
    lead = ""
    if ahead and "low" in ahead:
        sure = "" if ahead["low"] > 0 or ahead["high"] < 0 else ", which may be chance"
        lead = f"this model is {abs(ahead['value']):.3f} {'ahead' if better * ahead['value'] >= 0 else 'behind'}{sure}"
    return {"name": name, "value": f"{score['value']:.3f}", "interval": interval, "ahead": lead}


def curves(title: str, histories: Mapping[str, Mapping[str, Any]]) -> Curves:
    """Training and validation loss of one or more trainings."""
    series = {}
    for name, history in histories.items():
        for part in ("training", "validation"):
            points = history[part]
            series[f"{name}, {part}"] = ([p["update"] for p in points], [p["loss"] for p in points])
    kept = sorted({str(history.get("selected_by", "")) for history in histories.values()})
    what = " or ".join(
        f"the best validation {readable_metric(metric)}" if metric else "the lowest validation loss" for metric in kept
    )
    note = f"Mean loss in nats; lower is better. The weights with {what} are kept."
    return Curves(title, note, "update", "loss", series)


def validation_scores(histories: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """The metric that chose the weights, along the trainings that it chose them of."""
    chosen = {name: history for name, history in histories.items() if "selected_by" in history}
    if not chosen:
        return []
    metric = readable_metric(str(next(iter(chosen.values()))["selected_by"]))
    series = {
        name: ([p["update"] for p in history["validation"]], [p["score"] for p in history["validation"]])
        for name, history in chosen.items()
    }
    note = f"The {metric} on the validation split at each evaluation. The weights at its best are kept."
    return [Lines(f"Validation {metric}", note, "update", metric, series)]


def roll_backs(histories: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Loss spikes after which a training went back to a checkpoint. Returns an empty list if there was none."""
    rows = [
        [name, entry["update"], _nats(entry["loss"]), _nats(entry["usual"]), entry["back_to"], ", ".join(entry["rows"])]
        for name, history in histories.items()
        for entry in history.get("roll_backs", [])
    ]
    note = "Updates whose loss spiked: training went on from the checkpoint before, without these rows' batches."
    columns = ["training", "update", "loss", "usual loss", "back to update", "rows left out"]
    return [Table("Roll-backs", note, columns, rows)] if rows else []


def _nats(loss: float | None) -> str:
    return "not finite" if loss is None else f"{loss:.3f}"


def samples(history: Mapping[str, Any]) -> list[Block]:
    """Texts that the network generated during training, in order. Returns an empty list if it generates none."""
    kept = history.get("samples", [])
    items = [
        (
            f"After {kept[place]['update']:,} updates",
            "\n\n".join(f"{text}\n  -> {wrote}" for text, wrote in kept[place]["texts"]),
        )
        for place in evenly(len(kept), _SAMPLES)
    ]
    note = "The same texts of the validation split each time, and what the network made of them without drawing. Behind a | it goes on."
    return [Texts("Samples along training", note, items)] if items else []


def lineage(entries: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Table:
    """Artifacts and their parents; `names` gives each its name by its digest."""
    rows = []
    for entry in entries:
        parents = ", ".join(f"{name} {digest[:DIGITS]}" for name, digest in entry["parents"].items())
        artifact = names.get(entry["digest"], entry["kind"])
        rows.append([artifact, entry["step"], entry["digest"][:DIGITS], parents or "the source"])
    note = (
        "Each artifact, the step that made it, the digest of its content, and its inputs. The same digest is the "
        "same bytes, and the name of the artifact's folder begins with it."
    )
    return Table("Lineage", note, ["artifact", "step", "digest", "made from"], rows)


def data(info: Mapping[str, Any]) -> list[Block]:
    """Data that the model was trained on, and the check that nothing of the test was in it."""
    images = info.get("content") == "images"
    rows: list[list[Any]] = [
        [split, info["rows"][split], sum(info["rows_by_label"][split].values())]
        for split in ("train", "validation", "test")
    ]
    check = info["leak_check"]
    found = [["duplicates across splits", check["duplicates_across_splits"]]]
    if not images:
        found.append(["names left in the text", check["rows_that_name_a_library"]])
    read, leak = _rows_about_images(info) if images else _rows_about_texts(info)
    note = f"Source: {info['source']}. Licence: {info['license']}. {read}"
    return [
        Table("Data", note, ["split", "rows", "with a label"], rows),
        *_left_out(info),
        Table("Leak check", leak, ["check", "found"], [*found, *_leaks(check)]),
    ]


def _left_out(info: Mapping[str, Any]) -> list[Block]:
    """Rows and labels that are not in the corpus as they were read; empty if all of them are."""
    rows = [
        [what, reason, found["count"], found["first"]]
        for what, key in (("rows", "rows_out"), ("labels", "labels_out"))
        for reason, found in info.get(key, {}).items()
    ]
    if cut := info.get("cut"):
        rows.append(["characters", "cut off at max_characters", cut["characters"], cut["first"]])
    note = "Rows read are those of the splits and those left out, each for one reason; labels likewise."
    if long := info.get("long_texts"):
        note += f" {long['texts']:,} long texts became {long['texts'] + long['rows_more']:,} rows."
    return [Table("Left out", note, ["what", "reason", "how many", "the first"], rows)] if rows else []


def _leaks(check: Mapping[str, Any]) -> list[list[Any]]:
    """Other repetitions across the splits, if there are any."""
    labels = {
        "alike_across_splits": "rows like one of another split, with another label, target or number",
        "repeats_of_given_splits": "rows that repeat one of a split that the data brings",
        "repeated_within_given_splits": "rows repeated within a split that the data brings",
    }
    return [[words, check[name]] for name, words in labels.items() if name in check]


def _rows_about_texts(info: Mapping[str, Any]) -> tuple[str, str]:
    """Counts of the rows that were read, by outcome, and of comparisons across the splits."""
    check, removed = info["leak_check"], info["duplicates"]
    return (
        f"{info['read']:,} rows were read; {info['too_short']:,} were too short, {sum(info['quarantined'].values()):,} quarantined, "
        f"{removed['exact']:,} exact and {removed['near']:,} near duplicates removed.",
        f"After writing, all {check['rows']:,} rows were compared across the splits: {check['duplicates_across_splits']} exact or near "
        f"duplicates (Jaccard of word 5-grams at least {removed['threshold']}), and {check['rows_that_name_a_library']} rows that "
        "still name the answer.",
    )


def _rows_about_images(info: Mapping[str, Any]) -> tuple[str, str]:
    check, image = info["leak_check"], info["image"]
    colour = "grey" if image["channels"] == 1 else "in colour"
    return (
        f"{info['read']:,} images were read and made {image['width']} x {image['height']} pixels, {colour}; "
        f"{sum(info['quarantined'].values()):,} quarantined, {info['duplicates']['exact']:,} that repeat another pixel for pixel removed.",
        f"After writing, all {check['rows']:,} images were compared across the splits: {check['duplicates_across_splits']} are the same "
        "pixel for pixel. Images that are nearly the same, frames of one film for instance, are not looked for.",
    )


def sources(info: Mapping[str, Any]) -> list[Block]:
    """Parts of the source and their licences. Returns an empty list if it has none."""
    parts = [[part["name"], part["version"], part["license"]] for part in info["parts"]]
    note = "Where the rows are from, and under which licence each has them."
    return [Table("Sources", note, ["part", "version", "licence"], parts)] if parts else []


def cost(costs: Sequence[tuple[str, Mapping[str, float]]]) -> Table:
    """Cost of each artifact, and of all together."""
    used = [found for _, found in costs]
    total = {
        "seconds": sum(found["seconds"] for found in used),
        "cpu_seconds": sum(found["cpu_seconds"] for found in used),
        "peak_bytes": max((found["peak_bytes"] for found in used), default=0),
    }
    rows = [
        [name, f"{c['seconds']:,.1f}", f"{c['cpu_seconds']:,.1f}", f"{c['peak_bytes'] / 1e6:,.0f}"]
        for name, c in [*costs, ("all", total)]
    ]
    note = (
        "Wall and CPU seconds, and the largest resident memory of one process, of the run that made each artifact; "
        "this evaluation until it wrote this page."
    )
    return Table("Cost", note, ["made", "seconds", "CPU seconds", "peak MB"], rows)
