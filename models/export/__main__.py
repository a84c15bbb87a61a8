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
    """Export. Returns 0, or 2 after one line on stderr that names the problem."""
    parser = Parser("python -m models.export", __doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a checkpoint")
    parser.add_argument("--to", type=Path, required=True, help="folder to write; new or empty")
    parser.add_argument("--format", choices=("huggingface", "onnx"), default="huggingface")
    parser.add_argument(
        "--family", choices=FAMILIES, default="", help="class of transformers; default: the first that fits"
    )
    parser.add_argument("--body", action="store_true", help="encoder and decoder alone, without a head")
    options = parser.parse_args(arguments)
    try:
        if options.to.exists() and (not options.to.is_dir() or any(options.to.iterdir())):
            raise FolderError(f"--to {options.to}: is there already and not empty")
        read = checkpoint.read(options.checkpoint, body=options.body)
        if options.format == "onnx":
            from models.export import onnx

            lines = onnx.export(read, options.to)
        else:
            from models.export import huggingface

            lines = huggingface.export(read, options.to, options.family)
    except FolderError as error:
        return fail(str(error), 2)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
