"""The commands: each a module of ours that is a program by itself (`python -m MODULE`), and the words it begins with."""

from __future__ import annotations

import re
from typing import NamedTuple


class Command(NamedTuple):
    """A command and the program that carries it out."""

    module: str
    purpose: str
    words: tuple[str, ...] = ()  # put before the user's


GROUPS: dict[str, dict[str, Command]] = {
    "train": {
        "run": Command("pipelines", "run a pipeline; nodes in the cache are not run again", ("run",)),
        "plan": Command("pipelines", "show HIT or MISS for each node of a pipeline, and the reason", ("plan",)),
        "list": Command("pipelines", "list the pipelines that come with Glassformer", ("list",)),
        "graph": Command("pipelines", "show a pipeline's graph as text and as Mermaid", ("show",)),
        "runs": Command("pipelines", "list past runs with state, duration and version", ("runs",)),
        "compare": Command(
            "pipelines", "compare runs: parameters, scores, nodes, losses; as tables or one HTML page", ("compare",)
        ),
        "step": Command("steps", "run one step by hand: glassformer step pretrain --help"),
    },
    "look": {
        "show": Command("models.show", "show a preset's or checkpoint's modules, parameters, FLOPs and memory"),
        "why": Command("tasks.why", "trace a loss spike back to the rows that caused it"),
        "maps": Command("tasks.maps", "draw the attention of a trained model"),
        "gradients": Command("models.gradients", "show how gradients vanish in recurrent networks"),
    },
    "use": {
        "predict": Command("tasks.predict", "answer texts, files or images with a checkpoint or a registered version"),
        "export": Command("models.export", "write a checkpoint for transformers, or as ONNX"),
        "promote": Command("steps.promote", "promote a model version, roll back, or explain the champion"),
        "serve": Command("deploy.serving", "serve a registered model over HTTP"),
    },
    "operate": {
        "artifacts": Command("artifacts", "list, check and remove artifacts"),
        "telemetry": Command("telemetry", "show and deliver waiting telemetry"),
        "stack": Command("deploy.native", "start and stop Loki, Tempo, Prometheus and Grafana"),
        "secrets": Command("deploy.secrets", "write the secrets of docker compose"),
        "backup": Command("deploy.backup", "back up MLflow's store and all artifacts, and restore them"),
    },
    "set up": {
        "schema": Command("glassformer.schema", "write the JSON schema of pipeline files, for editors"),
        "completion": Command("glassformer.completion", "write the completion code for bash, zsh or fish"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
_BY_MODULE = re.compile(r"python -m ([a-z_]+(?:\.[a-z_]+)*)(?: ([a-z_]+)\b)?")


def use_command_names(text: str) -> str:
    """Text for people with `glassformer NAME` in place of each `python -m MODULE` that is a command."""
    return _BY_MODULE.sub(_name, text)


def _name(match: re.Match[str]) -> str:
    module, word = match[1], match[2]
    rest = f" {word}" if word else ""
    for name, command in COMMANDS.items():
        if command.module == module and command.words == (word,):
            return f"glassformer {name}"
        if command.module == module and not command.words:
            return f"glassformer {name}{rest}"
    if module.startswith("steps."):
        return f"glassformer step {module.removeprefix('steps.')}{rest}"
    return f"glassformer{rest}" if module == "pipelines" else match[0]
