"""A checkpoint for other programs: a folder that `transformers` loads without extra code, or ONNX, checked before it ends.

    python -m models.export CHECKPOINT --to FOLDER [--format huggingface|onnx] [--family NAME] [--body]

CHECKPOINT is the folder of an artifact that pretrain or finetune made, or of a registered model.
"""

from __future__ import annotations

import sys
from pathlib import Path

from command_line import Parser, fail
from models.export import checkpoint
from models.huggingface import FAMILIES, FolderError


def main(arguments: list[str] | None = None) -> int:
    """Export; 0, or 2 with one line on stderr that names what is in the way."""
    parser = Parser("python -m models.export", __doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint")
    parser.add_argument("--to", type=Path, required=True, help="folder to write; new or empty")
    parser.add_argument("--format", choices=("huggingface", "onnx"), default="huggingface")
    parser.add_argument(
        "--family", choices=FAMILIES, default="", help="class of transformers; default: the first that fits"
    )
    parser.add_argument("--body", action="store_true", help="encoder and decoder alone, without a head")
    given = parser.parse_args(arguments)
    try:
        if given.to.exists() and (not given.to.is_dir() or any(given.to.iterdir())):
            raise FolderError(f"--to {given.to}: is there already and not empty")
        read = checkpoint.read(given.checkpoint, body=given.body)
        if given.format == "onnx":
            from models.export import onnx

            lines = onnx.export(read, given.to)
        else:
            from models.export import huggingface

            lines = huggingface.export(read, given.to, given.family)
    except FolderError as error:
        return fail(str(error), 2)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
