"""Runs one model version on behalf of the gate: commands as JSON lines on stdin, answers as JSON lines on stdout.

Started with the version's folder; its own code answers, not that of this checkout, so a process holds one version only.
Nothing here imports ours.

    {"do": "answer", "questions": FILE, "column": NAME, "options": {}, "into": FILE}   -> {"rows": N}
    {"do": "time", "rows": [0, 1, ...]}                                               -> {"seconds": [...]}
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

_AT_ONCE = 512  # rows of a call


def main(folder: str) -> None:
    """Load the version, say so, and answer until stdin ends."""
    stdout, sys.stdout = sys.stdout, sys.stderr  # what the model's code prints is no answer
    ours = Path(__file__).resolve().parents[2]  # an installation puts it on the path
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ours]
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model(folder)
    print(json.dumps({"ready": True}), file=stdout, flush=True)
    questions: Any = None
    options: dict[str, Any] = {}
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any]
        try:
            if order["do"] == "answer":
                questions = pd.read_parquet(order["questions"])[[order["column"]]]
                options = order["options"]
                parts = [
                    model.predict(
                        questions.iloc[start : start + _AT_ONCE].reset_index(drop=True), params=options or None
                    )
                    for start in range(0, len(questions), _AT_ONCE)
                ]
                pd.concat(parts, ignore_index=True).to_parquet(order["into"])
                answer = {"rows": len(questions)}
            else:
                seconds = []
                for row in order["rows"]:
                    one = questions.iloc[[row]].reset_index(drop=True)
                    started = time.perf_counter()
                    model.predict(one, params=options or None)
                    seconds.append(time.perf_counter() - started)
                answer = {"seconds": seconds}
        except Exception as error:  # report any error of the model's code to the gate
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=stdout, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
