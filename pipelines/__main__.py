"""Run, plan and look at pipelines.

examples:
  python -m pipelines run docs
  python -m pipelines run docs --set prepare_data.source='texts/*.csv' --set prepare_data.label_column=topic
  python -m pipelines run docs --settings 'finetune.seed=2 pretrain.max_updates=100' --promote
  python -m pipelines run docs --from finetune --force evaluate --log-format json
  python -m pipelines plan docs --set finetune.learning_rate=0.0001
  python -m pipelines plan mine.yaml --json
  python -m pipelines show tiny
  python -m pipelines list
  python -m pipelines runs --last 5
  python -m pipelines compare 3f2a 8b1c
  python -m pipelines compare docs latest --over tokens --all
  python -m pipelines compare 3f2a 8b1c 07de --html compare.html
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

try:
    from artifacts.errors import EXIT_TEMPORARY, TemporaryError, UserError
    from artifacts.home import enter_calling_folder
    from command_line import Parser, fail, leave
    from pipelines import graph, jobs, printing
    from pipelines.options import check_single, names, split
    from pipelines.session import RunOptions
    from steps.command_line import EXIT_CODES, LOG_FORMAT, add_log_format, choose_log_format
except ModuleNotFoundError as error:
    print(f"{error}; run `make setup`, then use .venv/bin/python or `source .venv/bin/activate`", file=sys.stderr)
    sys.exit(2)

_EXAMPLES = (__doc__ or "").partition("\n\n")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and do it. Returns the exit code."""
    enter_calling_folder()
    try:
        options = _parser().parse_args(arguments)
        code: int = options.do(options)
    except UserError as error:
        return fail(str(error), error.exit_code)
    except TemporaryError as error:
        return fail(str(error), EXIT_TEMPORARY)
    except BrokenPipeError:
        return 0  # `| head`
    return code


def _parser() -> Parser:
    parser = Parser("python -m pipelines", f"{__doc__}\n{EXIT_CODES}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = _command(commands, "run", "run a pipeline; nodes in the cache are not run again")
    _add_choice(run)
    run.add_argument(
        "--from", dest="start", metavar="NODE", default="", help="start here; what comes before must be in the cache"
    )
    run.add_argument("--to", dest="stop", metavar="NODE", default="", help="stop after this node")
    run.add_argument(
        "--jobs",
        metavar="N",
        default=jobs.AUTO,
        help="nodes side by side; of `each`, variants (default: auto, one for each 4 cores and 4 GiB of memory)",
    )
    run.add_argument("--variant", type=int, metavar="N", help="only the Nth variant of `each`")
    run.add_argument("--promote", nargs="?", const="true", default="false", choices=["true", "false"],
                     help="then run `promote` on what was registered")  # fmt: skip
    run.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    add_log_format(run)
    run.set_defaults(do=_run)
    plan = _command(commands, "plan", "show HIT or MISS for each node, the reason and the time of its last run")
    _add_choice(plan)
    plan.add_argument("--json", action="store_true", help="as a list of objects")
    plan.set_defaults(do=_plan)
    show = _command(commands, "show", "show the graph as text and as Mermaid")
    show.add_argument("pipeline")
    show.set_defaults(do=lambda options: printing.show(graph.load(options.pipeline)[0]))
    _command(commands, "list", "list the pipelines that come with Glassformer").set_defaults(
        do=lambda options: printing.pipelines()
    )
    runs = _command(commands, "runs", "list past runs with state, duration and version")
    runs.add_argument("--last", type=int, metavar="N", default=20, help="how many (default: 20)")
    runs.set_defaults(do=lambda options: printing.runs(options.last))
    compare = _command(
        commands, "compare", "compare runs: parameters, scores, nodes, losses; as tables or one HTML page"
    )
    compare.add_argument(
        "runs", nargs="*", metavar="RUN",
        help="an id of `runs` or of MLflow, or how it begins; a pipeline's name (its newest run); `latest` "
        "(default: the newest two)",
    )  # fmt: skip
    compare.add_argument("--all", action="store_true", help="all parameters, not only those that differ")
    compare.add_argument(
        "--over", choices=["updates", "tokens", "seconds"], default="updates",
        help="where the losses are compared: after as many updates (default), tokens, or seconds since the start",
    )  # fmt: skip
    compare.add_argument(
        "--html", metavar="FILE", default="", help="write one page with curves instead; it needs no network"
    )
    compare.set_defaults(do=_compare)
    return parser


def _compare(options: argparse.Namespace) -> int:
    from pipelines.comparison import compare

    return compare(options.runs, every=options.all, over=options.over, html=options.html)


def _command(commands: Any, name: str, purpose: str) -> Parser:
    """A command with its own lines of the examples."""
    own = "".join(line for line in _EXAMPLES.splitlines(keepends=True) if name in line.split()[:4])
    docstring = f"{purpose[0].upper()}{purpose[1:]}.\n\nexamples:\n{own}\n{EXIT_CODES}"
    parser: Parser = commands.add_parser(name, help=purpose, docstring=docstring)
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", help="a name from `list`, or the path of a .yaml file")
    parser.add_argument(
        "--set",
        dest="single",
        action="append",
        default=[],
        metavar="NODE.KEY=VALUE",
        help="change a parameter; a text is taken as it stands, a mapping is {name: value}",
    )
    parser.add_argument(
        "--settings", default="", metavar="'NODE.KEY=VALUE …'", help="several of them, with blanks between"
    )
    parser.add_argument("--force", default="", metavar="NODE,…", help="run these even if they are in the cache")


def _load(options: argparse.Namespace) -> tuple[list[graph.Pipeline], tuple[str, ...]]:
    """The pipeline's variants, and the settings with which they were made."""
    single = tuple(options.single)
    settings = (*single, *split(options.settings))
    variants = graph.load(options.pipeline, settings)
    check_single(single, variants[0])
    return variants, settings


def _run(options: argparse.Namespace) -> int:
    choose_log_format(getattr(options, LOG_FORMAT))
    at_once = jobs.number_of(options.jobs)
    if options.dry_run:
        return _plan(options)
    variants, settings = _load(options)
    run_options = RunOptions(
        options.start, options.stop, names(options.force), settings, options.promote == "true", at_once
    )
    for variant in variants:
        run_options.check(variant)
    if options.variant:
        if not 1 <= options.variant <= len(variants):
            raise UserError(f"--variant {options.variant}: there are {len(variants)}", 2)
        variants = [variants[options.variant - 1]]
    elif len(variants) > 1:
        from pipelines.variants import run_variants

        return run_variants(options.pipeline, variants, run_options, at_once)
    from pipelines import session

    return session.run(variants[0], run_options)


def _plan(options: argparse.Namespace) -> int:
    variants, _ = _load(options)
    force = names(options.force)
    for variant in variants:
        variant.check_known(force, "--force")
    if getattr(options, "json", False):
        print(json.dumps([entry for variant in variants for entry in printing.plan_as_json(variant, force)], indent=2))
        return 0
    for variant in variants:
        printing.plan(variant, force)
    return 0


if __name__ == "__main__":
    leave(main())
