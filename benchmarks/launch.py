"""Start-up cost of a fully cached run and of one trivial step, compared with plain MLflow.

    python -m benchmarks.launch [--runs 5]

1. `python -m pipelines run tiny` with all nodes in the cache, against `mlflow run` of an empty project with one `true`
   step: whole processes, interleaved; the ratio of the medians.
2. One trivial step: the slope of a run's time over its number of steps (1 and 5), against MLflow's own multistep
   pattern (a main that calls `mlflow.run` for each step inside a run, each step importing mlflow).
3. `plan` and `--help`: seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results import keep
from steps.step import STEPS

ROOT = Path(__file__).resolve().parent.parent
FEW, MANY = 1, 5
EMPTY = "name: empty\nentry_points:\n  main: {command: 'true'}\n"
MULTI = """name: multi
entry_points:
  main: {parameters: {steps: {type: string, default: '1'}}, command: 'python main.py {steps}'}
  trivial: {parameters: {number: {type: string, default: '0'}}, command: 'python trivial.py {number}'}
"""
MULTI_MAIN = """import sys
import mlflow
with mlflow.start_run():
    for number in range(int(sys.argv[1])):
        mlflow.projects.run('.', 'trivial', parameters={'number': str(number)}, env_manager='local')
"""
MULTI_STEP = """import sys
import mlflow
with mlflow.start_run():
    mlflow.log_metric('number', float(sys.argv[1]))
"""
OUR_CONFIG = """from pydantic import Field
from steps.contract import StepConfig
OUTPUT = "corpus"
class Config(StepConfig):
    seed: int = Field(0, description="Number")
"""
OUR_RUN = """def run(config, inputs, output, observe):
    output.file("number.txt").write_text(str(config.seed))
"""


def main() -> None:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command (default: 5)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cached = cached_ratio(work, runs)
        trivial = trivial_step_ratio(work, runs)
    environment = os.environ | {"GLASSFORMER_HOME": str(ROOT / "var")}
    plan = median(
        [seconds([sys.executable, "-m", "pipelines", "plan", "docs"], ROOT, environment) for _ in range(runs)]
    )
    commands = [["pipelines", "--help"], ["artifacts", "--help"]]
    commands += [["pipelines", name, "--help"] for name in ("run", "plan", "runs")]
    commands += [[f"steps.{name}", "--help"] for name in STEPS]
    slowest = max(seconds([sys.executable, "-m", *command], ROOT, environment) for command in commands)
    own_help = [sys.executable, "-m", "glassformer", "--help"]
    helped = median([seconds(own_help, ROOT, environment) for _ in range(runs)])
    keep(
        "launch",
        "python -m benchmarks.launch",
        [
            figure("a run where all is cached, against an empty `mlflow run`", cached, "x", 1.2),
            figure("one trivial step, against MLflow's multistep pattern", trivial, "x", 1.0),
            figure("`plan docs`", plan, "s", 1.5),
            figure("slowest `--help`", slowest, "s", 1.0),
            figure("`glassformer --help`", helped, "s", 0.3),
        ],
    )


def figure(what: str, value: float, unit: str, most: float) -> dict[str, object]:
    """One figure that must be at most `most`."""
    return {"what": what, "value": round(value, 2), "unit": unit, "bar": f"at most {most} {unit}", "ok": value <= most}


def cached_ratio(work: Path, runs: int) -> float:
    """Whole-process time of an all-cached run over that of an empty `mlflow run`."""
    project = work / "empty"
    project.mkdir()
    (project / "MLproject").write_text(EMPTY)
    environment = private(work / "cached")
    ours = [sys.executable, "-m", "pipelines", "run", "tiny"]
    theirs = [str(Path(sys.executable).parent / "mlflow"), "run", str(project), "--env-manager", "local"]
    seconds(ours, ROOT, environment)  # fills the cache
    return alternate(
        lambda: seconds(ours, ROOT, environment), lambda: seconds(theirs, project, private(work / "peer")), runs
    )


def trivial_step_ratio(work: Path, runs: int) -> float:
    """Seconds that one more trivial step costs, ours over MLflow's pattern."""
    ours = copy_with_trivial_step(work / "ours")
    theirs = work / "multi"
    theirs.mkdir()
    for name, text in (("MLproject", MULTI), ("main.py", MULTI_MAIN), ("trivial.py", MULTI_STEP)):
        (theirs / name).write_text(text)

    def our_slope() -> float:
        times = []
        for count in (FEW, MANY):
            home = Path(tempfile.mkdtemp(dir=work))
            times.append(seconds([sys.executable, "-m", "pipelines", "run", f"{count}.yaml"], ours, private(home)))
        return (times[1] - times[0]) / (MANY - FEW)

    def their_slope() -> float:
        times = []
        for count in (FEW, MANY):
            home = Path(tempfile.mkdtemp(dir=work))
            command = [
                str(Path(sys.executable).parent / "mlflow"),
                "run",
                ".",
                "--env-manager",
                "local",
                "-P",
                f"steps={count}",
            ]
            times.append(seconds(command, theirs, private(home)))
        return (times[1] - times[0]) / (MANY - FEW)

    return alternate(our_slope, their_slope, runs)


def copy_with_trivial_step(target: Path) -> Path:
    """A copy of our code whose `prepare_data` does nothing, and two pipelines of it."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in files.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    step = target / "steps" / "prepare_data"
    (step / "dependencies.py").unlink()
    (step / "config.py").write_text(OUR_CONFIG)
    (step / "run.py").write_text(OUR_RUN)
    project = subprocess.run(
        [sys.executable, "-m", "pipelines.mlproject"], cwd=target, capture_output=True, text=True, check=True
    ).stdout
    (target / "MLproject").write_text(project)
    for count in (FEW, MANY):
        nodes = "".join(f"  n{number}: {{step: prepare_data, config: {{seed: {number}}}}}\n" for number in range(count))
        (target / f"{count}.yaml").write_text(f"nodes:\n{nodes}")
    return target


def private(home: Path) -> dict[str, str]:
    """An environment with a home and a tracking store of its own, made ready so that no run pays for its creation."""
    home.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "GLASSFORMER_HOME": str(home / "var"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    if not (home / "mlflow.db").exists():
        code = "import mlflow; mlflow.MlflowClient().search_experiments()"
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, cwd=home)
    return environment


def seconds(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Wall time of a whole process that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def alternate(ours, theirs, runs: int) -> float:
    """Ratio of the medians of two measurements taken in turn, after one of each that does not count."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(runs)]
    first, second = median([a for a, _ in pairs]), median([b for _, b in pairs])
    print(f"  ours {first:.2f} s, theirs {second:.2f} s")
    return first / second


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


if __name__ == "__main__":
    main()
