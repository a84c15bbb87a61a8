"""The cost of `glassformer.watch` in nanoGPT's own train.py, and the record that comes of it.

    python -m benchmarks.watched --nanogpt FOLDER [--text FILE] [--updates 2000]     two minutes on two cores

train.py is nanoGPT's with the lines that docs/python.md shows, with the flags of its README for a CPU, on tiny-shakespeare by
characters. CPU seconds are counted where they are spent: importing and opening, each call, telemetry's own threads, the
processes that send records and take samples of the stack. The run must be on record whole: a loss of each update, and an end.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.decoder import FLAGS, ROOT, add_sources, check_sources, copy_nanogpt
from benchmarks.results import keep

MOST_CPU = 1.0  # percent
_LOOP = "while True:\n"
_LINES = {  # a line of train.py's loop -> the lines to add after it
    "        print(f\"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}\")\n":
        "        training.validate(losses['val'].item())\n",
    "    optimizer.zero_grad(set_to_none=True)\n":
        "    training.update(\n"
        "        loss.item() * gradient_accumulation_steps, tokens=tokens_per_iter, learning_rate=lr\n"
        "    )\n",
}  # fmt: skip


def main() -> None:
    """Measure and keep the figure; with `--child`, one training."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    add_sources(parser)
    parser.add_argument("--updates", type=int, default=2000, help="of the training")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train(options)
        return
    check_sources(options)
    with tempfile.TemporaryDirectory() as folder:
        nanogpt = copy_nanogpt(options.nanogpt, options.text, Path(folder, "nanogpt"))
        script = nanogpt / "train.py"
        script.write_text(with_watch(script.read_text()))
        home = Path(os.environ.get("GLASSFORMER_HOME") or Path(folder, "home"))
        run = child(nanogpt, home, options.updates)
        losses, state = on_record(home, run["run"])
    share = 100 * sum(run["own"].values()) / run["cpu"]
    print(f"CPU {run['cpu']:.1f} s, of which {run['own']}")
    keep("watched", f"python -m benchmarks.watched --updates {options.updates}", [
        {"what": "CPU of `glassformer.watch` in nanoGPT's train.py, counted where it is spent", "value": round(share, 2),
         "unit": "%", "bar": f"at most {MOST_CPU:g} %", "ok": share <= MOST_CPU},
        {"what": f"updates of it on record, its end is {state}", "value": losses, "unit": "updates",
         "bar": f"{options.updates + 1}, finished", "ok": losses == options.updates + 1 and state == "finished"},
    ])  # fmt: skip


def with_watch(script: str) -> str:
    """train.py within `with glassformer.watch(...)`, with the two calls. ValueError if it has other lines than expected."""
    for line in (_LOOP, *_LINES):
        if script.count(line) != 1:
            raise ValueError(f"train.py has {script.count(line)} lines {line.strip()!r}: one was expected")
    before, loop = script.split(_LOOP)
    loop, _, after = loop.partition("\nif ddp:")
    for line, more in _LINES.items():
        loop = loop.replace(line, line + more)
    within = "".join(f"    {line}" if line.strip() else line for line in (_LOOP + loop).splitlines(keepends=True))
    return (
        f'{before}import glassformer\nwith glassformer.watch("nanogpt", config) as training:\n{within}\nif ddp:{after}'
    )


def child(nanogpt: Path, home: Path, updates: int) -> dict[str, Any]:
    """A run of the script in a process of its own: its id, CPU seconds, and those of watching."""
    length = dict.fromkeys(("max_iters", "lr_decay_iters", "eval_interval"), updates)
    flags = [f"--{name}={value}" for name, value in (FLAGS | length).items()]
    command = [sys.executable, "-m", "benchmarks.watched", "--child", "--nanogpt", str(nanogpt)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))}
    environment |= {"GLASSFORMER_HOME": str(home), "TRAIN_FLAGS": json.dumps(flags)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"nanoGPT, watched: exit {done.returncode}\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def train(options: argparse.Namespace) -> None:
    """Run the script in this process, and print one line of JSON."""
    from benchmarks.telemetry_run import cpu_of_children, cpu_of_threads

    own = dict.fromkeys(("open", "calls", "threads", "close", "children"), 0.0)
    began = time.process_time()
    import glassformer

    torch_began = time.process_time()
    import torch  # noqa: F401  # train.py imports it in any case: it is no cost of watching

    own["open"] = torch_began - began
    from glassformer.watching import Watched

    run = ""

    def count_cpu(method: Any, to: str) -> Any:
        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            before = time.thread_time()
            try:
                return method(self, *arguments, **named)
            finally:
                own[to] += time.thread_time() - before

        return call

    watch = glassformer.watch

    class Within:
        """`watch` with its start and end counted."""

        def __init__(self, *arguments: Any) -> None:
            self.context = watch(*arguments)

        def __enter__(self) -> Watched:
            nonlocal run
            training: Watched = count_cpu(lambda context: context.__enter__(), "open")(self.context)
            run = training.run
            return training

        def __exit__(self, *error: Any) -> Any:
            own["threads"] = cpu_of_threads()
            return count_cpu(lambda context: context.__exit__(*error), "close")(self.context)

    glassformer.watch = Within  # type: ignore[assignment]
    for name in ("update", "validate"):
        setattr(Watched, name, count_cpu(getattr(Watched, name), "calls"))
    os.chdir(options.nanogpt)
    sys.path.insert(0, str(options.nanogpt))
    sys.argv = ["train.py", "config/train_shakespeare_char.py", *json.loads(os.environ["TRAIN_FLAGS"])]
    runpy.run_path("train.py", run_name="__main__")
    own["children"] = cpu_of_children()
    print(json.dumps({"run": run, "cpu": time.process_time() + own["children"], "own": own}))


def on_record(home: Path, run: str) -> tuple[int, str]:
    """How many updates the run has on record, and how it ended."""
    from artifacts.runs import all_runs
    from training.update_log import Updates

    (found,) = [one for one in all_runs(home) if one.id == run]
    record = Updates.within(home / "runs" / run / "pretrain")
    return len(record.between(1, 1 << 31)) if record else 0, found.state.lower()


if __name__ == "__main__":
    main()
