"""The presets there are, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from models import presets
from models.config import Architecture, ModelConfig
from models.show.subject import DEFAULT, Choice, ShowError, find, on_text
from models.show.text import Style, amount


def rows() -> list[dict[str, Any]]:
    """Each preset's sizes and paper. Parameters only where a formula gives them: a list should not take seconds."""
    return [_row(name) for name in [*presets.available(), DEFAULT]]


def text(found: Sequence[dict[str, Any]], look: Style) -> str:
    """The catalogue as text."""
    room = max(len(row["name"]) for row in found)
    lines = []
    for row in found:
        count = amount(row["parameters"]) if row["parameters"] else row["published"] or "-"
        sizes = f"{row['layers']:>3} x {row['width']:<5} {count:>7}"
        lines.append(
            f"{look.bold(row['name'] + ' ' * (room - len(row['name'])))}  {row['part']:15} {sizes}   {_short(row['paper'])}"
        )
    head = f"{'':{room}}  {'part':15} {'layers x width':>10} {'numbers':>7}"
    return "\n".join([look.dim(head), *lines, "", "python -m models.show PRESET; --diff PRESET2 shows what changed"])


def _row(name: str) -> dict[str, Any]:
    paper = {} if name == DEFAULT else presets.paper(name)
    try:
        chosen = Architecture() if name == DEFAULT else Architecture(preset=name)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ShowError(f"models/presets/{name}.yaml: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    quick = on_text(ModelConfig.of(chosen)) and not chosen.patch_size and not chosen.convolutional_stem
    subject = find(name, Choice()) if quick else None
    return {
        "name": name,
        "network": chosen.network,
        "part": subject.part if subject else paper.get("part", chosen.network),
        "layers": chosen.num_layers,
        "width": chosen.d_model,
        "parameters": subject.count if subject else None,
        "published": str(paper.get("parameters", "")),
        "paper": subject.headline if subject else presets.headline(name),
    }


def _short(paper: str) -> str:
    """Authors, title and number of a paper, without remarks."""
    return paper.partition("): ")[0] + ")" if "): " in paper else paper
