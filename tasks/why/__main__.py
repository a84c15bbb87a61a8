"""From a spike of a training to the rows that caused it.

examples:
  python -m tasks.why                                  the worst spike of the newest run's trainings
  python -m tasks.why --run 3f2a --node pretrain       of that node of that run
  python -m tasks.why --run 3f2a --at 1234             of update 1234, as a dot in Grafana names it
  python -m tasks.why --metric gradient_norm --json    by another measure, for a program

A spike is how many times a value is the median of the (up to) 100 updates before it; the first ten have none to compare
with. What is not finite is the worst of all. Works as well for a training that failed, was killed or is under way.
Exit codes: 0 success; 1 a partial answer, as a corpus or a checkpoint is gone; 2 wrong options, or no record of the run.
"""

from __future__ import annotations

import json
import sys

from artifacts import ArtifactError
from artifacts.store import Store
from command_line import Parser, fail, number, show
from tasks.why import WhyError
from tasks.why.spikes import METRICS


def _parser() -> Parser:
    parser = Parser("python -m tasks.why", __doc__)
    parser.add_argument(
        "--run", default="", metavar="RUN", help="a run's id or how it begins (default: the newest run)"
    )
    parser.add_argument(
        "--node", default="", metavar="NODE", help="a training of it (default: all, or the one that fits)"
    )
    parser.add_argument("--metric", default="loss", metavar="METRIC", help=f"{', '.join(METRICS)} (default: loss)")
    parser.add_argument("--at", type=number, metavar="UPDATE", help="an update (default: the worst spike)")
    parser.add_argument("--rows", type=number, default=5, metavar="N", help="rows shown with text (default: 5)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def main() -> int:
    """Parse the command line, look it up and print it. Returns the exit code."""
    try:
        options = _parser().parse_args()
        if options.metric not in METRICS:
            raise WhyError(f"--metric {options.metric}: known for each update are {', '.join(METRICS)}")
        # Loaded only now: --help and a wrong word answer at once.
        from tasks.why.answer import Question, answer, as_json, as_text

        question = Question(options.run, options.node, options.metric, options.at, options.rows)
        result = answer(Store.default(), question)
        shown = json.dumps(as_json(result, options.rows), indent=2) if options.json else as_text(result, options.rows)
    except (WhyError, ArtifactError) as error:
        return fail(f"tasks.why: {error}", error.exit_code if isinstance(error, WhyError) else 1)
    except OSError as error:  # a training that ends just now takes its work folder with it
        return fail(f"tasks.why: {error.filename}: {error.strerror or error}; ask again", 1)
    show(shown)
    return fail(f"tasks.why: {result.batch.missing}", 1) if result.batch.missing else 0


if __name__ == "__main__":
    sys.exit(main())
