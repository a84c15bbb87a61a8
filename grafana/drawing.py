"""Draw one panel's answers into a place of a figure: roughly as Grafana would, enough to see what a board shows."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes

from grafana.live import Event, Series, step_of

Panel = Mapping[str, Any]
Answers = Sequence[tuple[Mapping[str, Any], list[Series]]]  # each query with what it found
_SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8E8E8E", "#F0E442")
_SIZE = 7
_MOST_SPANS = 24  # of a waterfall
_ROOM = 0.15  # share of the whole time that a bar must take for its name to fit within


def draw(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    """Title and contents; where nothing was found, the words that Grafana would show."""
    axes.set_title(str(panel["title"]), loc="left", fontsize=_SIZE + 1, fontweight="bold", pad=4)
    if not any(one.points for _, found in answers for one in found):
        _say(axes, str(panel["fieldConfig"]["defaults"].get("noValue", "No data")), grey=True)
        return
    _KINDS[str(panel["type"])](axes, panel, answers, start, end)


def draw_events(axes: Axes, events: Sequence[Event]) -> None:
    """A line for each event, in the colour of its annotation."""
    for event in events:
        axes.axvline(_day(event.at), color=event.colour, linewidth=0.8, linestyle="--")


def name_of(target: Mapping[str, Any], series: Series) -> str:
    """A series' name by its query's legend."""
    legend = str(target.get("legendFormat") or "__auto")
    if legend == "__auto":
        return " ".join(series.labels.values())
    for label, value in series.labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value[:8] if label == "glassformer_run" else value)
    return re.sub(r"\{\{\w+\}\}", "", legend).strip()  # a label that this series has not


def format_value(value: float, unit: str, panel: Panel | None = None) -> str:
    """A number with its unit, or the word that stands for it."""
    for mapping in (panel or {}).get("fieldConfig", {}).get("defaults", {}).get("mappings", []):
        if mapping["type"] == "value" and f"{value:g}" in mapping["options"]:
            return str(mapping["options"][f"{value:g}"]["text"])
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit in ("bytes", "decbytes", "Bps"):
        a_second = "/s" if unit == "Bps" else ""
        for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if unit != "decbytes" and abs(value) >= size:
                return f"{value / size:.3g} {name}{a_second}"
        return f"{value:.3g} B{a_second}"
    if unit == "s":
        return f"{value:.3g} s" if abs(value) < 90 else f"{value / 60:.3g} min"
    if unit == "bool_yes_no":
        return "yes" if value else "no"
    if unit == "dateTimeFromNow":
        return str(dates.num2date(value / 86_400_000).strftime("%d %b %H:%M"))
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _say(axes: Axes, text: str, *, grey: bool = False, size: float = _SIZE) -> None:
    axes.axis("off")
    folded = "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, 30))
    colour = "#777777" if grey else "#0072B2"
    axes.text(0.5, 0.5, folded, ha="center", va="center", fontsize=size, color=colour, transform=axes.transAxes)


def _unit(panel: Panel) -> str:
    return str(panel["fieldConfig"]["defaults"].get("unit", "none"))


def _stat(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    values = [(name_of(target, one), one.points[-1][1]) for target, found in answers for one in found][:4]
    value, mode = values[0][1], panel["options"].get("textMode", "auto")
    texts = [
        name if mode == "name" else format_value(number, _unit(panel), panel) + (f"  {name}" if mode != "auto" else "")
        for name, number in values
    ]
    _say(axes, "\n".join(texts), size=15 if len(values) == 1 and len(texts[0]) < 16 else _SIZE + 2)
    colour = "#0072B2"
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", []):
        if step.get("value") is None or value >= step["value"]:
            colour = step["color"]
    for mapping in panel["fieldConfig"]["defaults"].get("mappings", []):
        colour = mapping["options"].get(f"{value:g}", {}).get("color", colour)
    axes.texts[-1].set_color(colour)


def _time_axis(axes: Axes, start: float, end: float) -> None:
    axes.set_xlim(_day(start), _day(end))
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=6))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S" if end - start < 900 else "%H:%M"))
    axes.tick_params(labelsize=_SIZE - 1)
    axes.grid(visible=True, linewidth=0.3)


def _day(seconds: float) -> float:
    return seconds / 86_400


def _with_gaps(xs: Sequence[float], ys: Sequence[float], step: float) -> tuple[list[float], list[float]]:
    """A point that is no number where readings are missing: nothing is drawn from one run to the next."""
    places, values = [xs[0]], [ys[0]]
    for before, x, y in zip(xs, xs[1:], ys[1:], strict=False):
        if x - before > 2.5 * step:
            places.append(before + step)
            values.append(float("nan"))
        places.append(x)
        values.append(y)
    return places, values


def _curves(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    style = panel["fieldConfig"]["defaults"].get("custom", {})
    dots, columns = style.get("showPoints") == "always", style.get("drawStyle") == "bars"
    place = 0
    bottom: dict[float, float] = {}
    for target, found in answers:
        for one in found:
            xs, ys = [_day(at) for at, _ in one.points], [value for _, value in one.points]
            colour = _SERIES[place % len(_SERIES)]
            if columns:
                width = _day(step_of(start, end))
                axes.bar(xs, ys, width, bottom=[bottom.get(x, 0) for x in xs], color=colour, label=name_of(target, one))
                bottom |= {x: bottom.get(x, 0) + y for x, y in zip(xs, ys, strict=True)}
            else:
                mark = "o" if dots or len(xs) < 3 else ""
                xs, ys = _with_gaps(xs, ys, _day(step_of(start, end)))
                axes.plot(xs, ys, color=colour, linewidth=1.2, marker=mark, markersize=2.5, label=name_of(target, one))
            place += 1
    unit = _unit(panel)
    axes.yaxis.set_major_formatter(lambda value, _: format_value(value, unit))
    _time_axis(axes, start, end)
    if 0 < place <= 12:
        axes.legend(fontsize=_SIZE - 2, loc="best", framealpha=0.6)


def _bars(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    label = panel["options"].get("xField", "")
    found = [(one.labels.get(label, ""), one.points[-1][1]) for _, series in answers for one in series]
    axes.barh(["\n".join(textwrap.wrap(name, 20)) for name, _ in found], [value for _, value in found], color="#0072B2")
    for place, (_, value) in enumerate(found):
        axes.text(value, place, f" {format_value(value, _unit(panel))}", va="center", fontsize=_SIZE - 1)
    axes.margins(x=0.2)
    axes.tick_params(labelsize=_SIZE - 1)


def _states(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    named = [(name_of(target, one), one) for target, found in answers for one in found]
    named.sort(key=lambda pair: pair[1].points[0][0], reverse=True)
    for place, (_, one) in enumerate(named):
        for at, value in one.points:
            colour = options.get(f"{value:g}", {}).get("color", "#cccccc")
            axes.barh(place, _day(step_of(start, end)), left=_day(at), color=colour, height=0.8)
    axes.set_yticks(range(len(named)), [name for name, _ in named])
    _time_axis(axes, start, end)


def _over_axis(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    """Values over the last query's, at the same moments: a curve for each series."""
    names = next(one["options"]["renameByName"] for one in panel["transformations"] if one["id"] == "organize")
    *values, (_, places) = answers
    xs = {tuple(sorted(one.labels.items())): dict(one.points) for one in places}
    for target, found in values:
        name = names[f"Value #{target['refId']}"]
        thin = name in ("lowest", "highest")
        for number, one in enumerate(found):
            at = xs.get(tuple(sorted(one.labels.items())), {})
            points = sorted((at[moment], value) for moment, value in one.points if moment in at)
            label = f"{one.labels.get('glassformer_node')} {one.labels.get('glassformer_run', '')[:8]}"
            axes.plot(
                [x for x, _ in points], [y for _, y in points], color=_SERIES[number % len(_SERIES)],
                linewidth=0.4 if thin else 1.4, marker="" if thin or len(points) > 60 else "o", markersize=2.5,
                label=None if thin else label,
            )  # fmt: skip
    axes.tick_params(labelsize=_SIZE - 1)
    axes.grid(visible=True, linewidth=0.3)
    if 0 < len(axes.get_legend_handles_labels()[1]) <= 12:
        axes.legend(fontsize=_SIZE - 2, loc="best", framealpha=0.6)


def _parameters(axes: Axes, answers: Answers) -> None:
    """Log lines of JSON, a column each."""
    objects = [json.loads(line) for _, found in answers for one in found for _, line in one.points]
    keys = [key for key in dict.fromkeys(key for each in objects for key in each) if key != "parameter"]
    cells = [[key, *(str(each.get(key, "")) for each in objects[:6])] for key in keys]
    _cells(axes, ["parameter", *(each["parameter"] for each in objects[:6])], cells)


def _table(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    axes.axis("off")
    if panel["datasource"]["type"] == "loki":
        _parameters(axes, answers)
        return
    rename: dict[str, str] = {}
    for one in panel.get("transformations", []):
        rename |= one["options"].get("renameByName", {})
    kept = [name for name in rename if not name.startswith("Value")]
    if not kept:  # Tempo's own table
        cells = [
            [one.labels["trace"], one.labels["name"], f"{one.points[0][1]:.1f} s"]
            for _, found in answers
            for one in found
        ]
        _cells(axes, ["trace", "name", "duration"], cells)
        return
    units = {
        o["matcher"]["options"]: p["value"]
        for o in panel["fieldConfig"].get("overrides", [])
        for p in o["properties"]
        if p["id"] == "unit"
    }
    maps = {
        o["matcher"]["options"]: {"fieldConfig": {"defaults": {"mappings": p["value"]}}}
        for o in panel["fieldConfig"].get("overrides", [])
        for p in o["properties"]
        if p["id"] == "mappings"
    }
    table: dict[tuple[str, ...], dict[str, str]] = {}
    columns = [rename.get(f"Value #{target['refId']}", rename.get("Value", "value")) for target, _ in answers]
    for column, (_, found) in zip(columns, answers, strict=True):
        for one in found:
            key = tuple(one.labels.get(name, "") for name in kept)
            row = table.setdefault(key, {})
            row[column] = format_value(one.points[-1][1], units.get(column, "none"), maps.get(column))
    cells = [[*key, *(row.get(column, "") for column in columns)] for key, row in table.items()]
    _cells(axes, [*(rename[name] for name in kept), *columns], cells)


def _cells(axes: Axes, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    longest = int(150 * axes.get_position().width / len(columns))  # characters that fit
    made = axes.table(
        [[text if len(text) <= longest else f"{text[: longest - 1]}…" for text in row] for row in cells[:12]],
        colLabels=list(columns),
        loc="upper center",
        cellLoc="left",
        edges="horizontal",
    )
    made.auto_set_font_size(False)
    made.set_fontsize(_SIZE - 1)
    made.scale(1, 1.1)


def _heat(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    found = [
        (float(one.labels["le"].replace("+Inf", "inf")), dict(one.points)) for _, series in answers for one in series
    ]
    found.sort(key=lambda pair: pair[0])
    step = step_of(start, end)
    seen = [at for _, points in found for at in points]
    times = np.arange(min(seen), max(seen) + step / 2, step)
    sums = np.array([[points.get(at, 0.0) for at in times] for _, points in found])
    counts = np.diff(sums, axis=0, prepend=0).clip(min=0)
    used = np.flatnonzero(counts.sum(axis=1))
    low, high = max(0, int(used.min()) - 1), min(int(used.max()) + 2, len(found))
    edges = [*(_day(at) for at in times), _day(times[-1] + step)]
    axes.pcolormesh(edges, np.arange(low, high + 1) - 0.5, np.ma.masked_equal(counts[low:high], 0), cmap="cividis")
    names = [f"≤ {format_value(edge, _unit(panel))}" for edge, _ in found[low:high]]
    axes.set_yticks(range(low, low + len(names)), names)
    _time_axis(axes, start, end)


def _logs(axes: Axes, panel: Panel, answers: Answers, start: float, end: float) -> None:
    axes.axis("off")
    lines = sorted(((at, one.labels.get("severity_text", ""), str(line)) for _, found in answers for one in found
                    for at, line in one.points), reverse=True)  # fmt: skip
    most = int(panel["gridPos"]["h"] * 2.6)
    for place, (at, level, line) in enumerate(lines[:most]):
        text = f"{dates.num2date(_day(at)).strftime('%H:%M:%S')} {level:7} {_short(line)}"
        axes.text(0.0, 1 - (place + 0.7) / most, text, fontsize=_SIZE - 1, family="monospace", transform=axes.transAxes)


def _short(line: str) -> str:
    return json.dumps(line, ensure_ascii=False)[1:-1][:170].replace("$", r"\$")


def _waterfall(axes: Axes, _: Panel, answers: Answers, start: float, end: float) -> None:
    """A bar for each span, below the one that it is part of; the first that fit, as one sees them before scrolling. A long one
    holds its name, a short one has it beside it."""
    spans = [one for _, found in answers for one in found]
    parts: dict[str, list[Series]] = {}
    for one in sorted(spans, key=lambda span: span.points[0][0]):
        parts.setdefault(one.labels["parent"], []).append(one)
    known = {one.labels["id"] for one in spans}
    rows: list[tuple[int, Series]] = []

    def add(one: Series, depth: int) -> None:
        rows.append((depth, one))
        for part in parts.get(one.labels["id"], []):
            add(part, depth + 1)

    for parent, firsts in parts.items():
        for one in firsts if parent not in known else []:
            add(one, 0)
    began = min(one.points[0][0] for _, one in rows)
    ended = max(one.points[0][0] + one.points[0][1] for _, one in rows)
    for place, (depth, one) in enumerate(rows[:_MOST_SPANS]):
        at, seconds = one.points[0]
        axes.barh(place, seconds, left=at - began, height=0.7, color=_SERIES[depth % len(_SERIES)])
        room, left = _ROOM * (ended - began), at - began
        text = f"{one.labels['name']}  {format_value(seconds, 's')}"
        if seconds > room:
            place_text, inset, colour = left, 3, "white"
        elif left + seconds + room < ended - began:
            place_text, inset, colour = left + seconds, 3, "black"
        else:
            place_text, inset, colour = left, -3, "black"
        axes.annotate(
            text, (place_text, place), (inset, 0), textcoords="offset points", fontsize=_SIZE - 1, va="center",
            ha="right" if inset < 0 else "left", color=colour,
        )  # fmt: skip
    axes.invert_yaxis()
    axes.set_yticks([])
    more = f"; {len(rows) - _MOST_SPANS:,} more spans below" if len(rows) > _MOST_SPANS else ""
    axes.set_xlabel(f"seconds{more}", fontsize=_SIZE - 1)
    axes.tick_params(labelsize=_SIZE - 1)


_KINDS: dict[str, Callable[[Axes, Panel, Answers, float, float], None]] = {
    "xychart": _over_axis,
    "stat": _stat,
    "timeseries": _curves,
    "barchart": _bars,
    "state-timeline": _states,
    "table": _table,
    "traces": _waterfall,
    "heatmap": _heat,
    "logs": _logs,
}
