"""Score a model and its baselines on the same rows, and write the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from artifacts import atomic
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.errors import UserError
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from models.decoding import Decoding
from models.devices import CPU
from redaction import redact
from steps.evaluate import model_blocks
from steps.evaluate.scores import compare
from steps.pages import page
from steps.process import Meter
from tasks import load
from tasks.evaluation import Evaluation
from tasks.model import check_same_tokenizer, load_model, predict, watch_rows
from tasks.parity import compare_frameworks
from tasks.self_check import record_answers
from training.frameworks import prepare

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from artifacts import Artifact, Output
    from steps.evaluate.config import Config
    from tasks.model import Model
    from tasks.task import Task
    from telemetry import Observe

_SCRATCH = "the same network without pretraining"
_DIRECTION = {True: "higher", False: "lower"}  # whether higher is better


def run(config: Config, inputs: Mapping[str, Artifact], output: Output, observe: Observe) -> None:
    """Write scores, predictions and the description of the data as content, the page as a sidecar."""
    meter, task = Meter(), load(config.task)
    if config.framework != "torch" and issubclass(task.PredictOptions, Decoding):
        raise UserError(f"{task.name} writes text, and framework={config.framework} does not: set framework=torch", 2)
    with observe.phase("import"):
        prepare(config.framework, output.root)
    corpus = Corpus(inputs["corpus"])
    checkpoints = {name: Checkpoint(made) for name, made in inputs.items() if made.kind == "checkpoint"}
    called = _names(checkpoints)
    tokenizer = Tokenizer.of(inputs.get("tokenizer"))
    for checkpoint in checkpoints.values():
        check_same_tokenizer(checkpoint, tokenizer)
        if checkpoint.task != config.task:
            raise UserError(
                f"{checkpoint.folder}: trained for {checkpoint.task}, not for {config.task}; set task={checkpoint.task}"
            )
    with observe.phase("load"):
        model = load_model(checkpoints["checkpoint"], config.compute)
        questions = task.questions(corpus, config.split, model.settings)
    with observe.phase("predict"):
        predictions = _answers(task, model, questions, config, observe)
    with observe.phase("baselines"):
        baselines = task.baselines(corpus, questions, model.settings, config.seed, observe)
        for name, label in called.items():
            if name != "checkpoint":
                other = load_model(checkpoints[name], replace(config.compute, framework="torch"))
                baselines[label] = _answers(task, other, questions, config, observe)
    with observe.phase("bootstrap"):
        compared = compare(
            task, questions, {"": predictions, **baselines}, config.bootstrap_samples, config.seed, observe
        )
    scores: dict[str, Any] = {
        "task": config.task,
        "primary_metric": task.primary_metric,
        "higher_is_better": task.higher_is_better,
        "split": config.split,
        "rows": len(questions),
        "metrics": compared.pop(""),
        "baselines": compared,
        **({"signatures": signatures} if (signatures := task.signatures()) else {}),
    }
    reference = None if config.compute == CPU else load_model(checkpoints["checkpoint"], CPU)
    with observe.phase("parity"):
        parity = compare_frameworks(
            task, reference or model, checkpoints["checkpoint"], corpus, config.split, output.root, observe
        )
    scores |= {"parity": parity} if parity else {}
    _write(scores, questions, predictions, baselines, corpus, output)
    kept = record_answers(task, model, questions, predictions, config.options, reference)
    atomic.write_json(output.file("recorded.json"), kept)
    better = _DIRECTION[task.higher_is_better]
    about: dict[str, Any] = {"metric": task.primary_metric, "better": better, "unit": task.metric_unit}
    observe.metric("report.score", scores["metrics"][task.primary_metric]["value"], **about)
    for name, found in compared.items():
        observe.metric("report.baseline_score", found[task.primary_metric]["value"], baseline=name, **about)
    with observe.phase("page"):
        # Maps of what a network looked at are PyTorch's.
        shown = model if config.framework == "torch" else reference or model
        evaluation = Evaluation(shown, questions, predictions, baselines, scores)
        html = _page(
            evaluation, task.report(evaluation), corpus, checkpoints, called, inputs, output.root, meter, observe
        )
        output.sidecar("report.html").write_text(redact(html), encoding="utf-8")
    output.counts["rows"] = len(questions)
    observe.log("report.written", _summary(scores))


def _names(checkpoints: Mapping[str, Checkpoint]) -> dict[str, str]:
    """Name of each checkpoint in the report, the one that is evaluated first."""
    compared = [name for name in checkpoints if name != "scratch"]
    labels = dict(zip(compared, model_blocks.names_of([checkpoints[name] for name in compared]), strict=True))
    mine = {"checkpoint": f"{labels.pop('checkpoint')} (this model)"}
    return {**mine, **({"scratch": _SCRATCH} if "scratch" in checkpoints else {}), **labels}


def _answers(task: Task, model: Model, questions: pd.DataFrame, config: Config, observe: Observe) -> pd.DataFrame:
    with observe.progress("predict", len(questions), "rows") as progress, watch_rows(progress.update):
        return predict(task, model, questions[task.input].tolist(), **config.options)


def _write(
    scores: dict[str, Any],
    questions: pd.DataFrame,
    predictions: pd.DataFrame,
    baselines: Mapping[str, pd.DataFrame],
    corpus: Corpus,
    output: Output,
) -> None:
    atomic.write_json(output.file("scores.json"), scores)
    atomic.write_json(
        output.file("data.json"),
        {key: corpus.info[key] for key in ("source", "license", "parts", "rows", "duplicates", "leak_check", "labels")}
        | {"corpus": corpus.artifact.digest},
    )
    table = questions[["id", "expected"]].assign(**{str(name): predictions[name] for name in predictions})
    for name, answers in baselines.items():
        table[name] = answers["prediction"]
    table.to_parquet(output.file("predictions.parquet"), index=False, compression="zstd")


def _page(
    evaluation: Evaluation, section: list[Any], corpus: Corpus, checkpoints: Mapping[str, Checkpoint],
    called: Mapping[str, str], inputs: Mapping[str, Artifact], root: Path, meter: Meter, observe: Observe,
) -> str:  # fmt: skip
    checkpoint = checkpoints["checkpoint"]
    blocks: list[Any] = []
    before = model_blocks.named_pretraining(checkpoint, "Pretraining")
    blocks += [page.curves(f"{name} loss", {name: history}) for name, history in before.items()]
    tuned = {"from pretrained": checkpoint.history} if before else {"this model": checkpoint.history}
    if "scratch" in checkpoints:
        tuned["from scratch"] = checkpoints["scratch"].history
    blocks.append(page.curves("Training loss", tuned))
    blocks += page.roll_backs({**before, **tuned})
    blocks += page.validation_scores(tuned)
    blocks += page.samples(checkpoint.history)
    if any(name.startswith("rivals.") for name in called):
        blocks += model_blocks.blocks(
            {label: (checkpoints[name], inputs[name]) for name, label in called.items()}, root
        )
    blocks += [*section, *page.data(corpus.info)]
    made, names = _lineage(inputs), dict[str, str]()
    for name, label in reversed({**called, "scratch": "from scratch", "checkpoint": "this model"}.items()):
        if name in called:
            for entry in model_blocks.trainings_of(checkpoints[name], inputs[name]):
                names[entry["digest"]] = f"checkpoint, before {label}"
            names[inputs[name].digest] = f"checkpoint, {label}"
    blocks += [page.lineage(made, names), page.cost(_costs(made, names, root, meter)), *page.sources(corpus.info)]
    scores = evaluation.scores
    config = ModelConfig(**checkpoint.config)
    summary = f"A {config.summary()}, trained on {corpus.info['source']}: {_summary(scores)}."
    labels = f" into {len(checkpoint.settings['labels'])} classes" if "labels" in checkpoint.settings else ""
    name = load(scores["task"]).title or str(scores["task"]).replace("_", " ").capitalize()
    return page.render(
        title=f"{name}{labels}",
        summary=summary,
        scores=scores,
        blocks=blocks,
        footer=f"Trace {observe.trace_id or 'none'}.",
    )


def _lineage(inputs: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    """Every artifact that had a part in it, parents first."""
    return list({entry["digest"]: entry for made in inputs.values() for entry in made.lineage}.values())


def _costs(
    made: list[dict[str, Any]], names: Mapping[str, str], root: Path, meter: Meter
) -> list[tuple[str, Mapping[str, float]]]:
    """Cost of each artifact, as far as the store still has it, and of this evaluation so far."""
    costs: list[tuple[str, Mapping[str, float]]] = []
    for entry in made:
        if found := model_blocks.cost_of(entry["digest"], entry["kind"], root):
            costs.append((f"{names.get(entry['digest'], entry['kind'])} ({entry['step']})", found))
    return [*costs, ("report (evaluate)", meter.read())]


def _summary(scores: Mapping[str, Any]) -> str:
    metric = scores["primary_metric"]
    name_shown = page.readable_metric(metric)
    others = ", ".join(f"{name} {found[metric]['value']:.3f}" for name, found in scores["baselines"].items())
    return f"{name_shown} {scores['metrics'][metric]['value']:.3f} (baselines: {others})"
