"""An encoder, with its classifier if it has one, as ONNX: a batch of any size, of any length up to `max_length`.

    inputs    input_ids [B, T] int64, attention_mask [B, T] bool; of images pixels [B, C, H, W] float32
    outputs   logits [B, C] of a classifier, else memory [B, T, D]

Before the command ends, onnxruntime runs the exported file on several padded lengths, compared with PyTorch.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.export.checkpoint import Checkpoint
from models.huggingface import FolderError

if TYPE_CHECKING:
    import torch

FILE = "model.onnx"
BAR = 1e-4  # float32, through another program's kernels
_OPSET = 18


def export(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """Write `model.onnx`; lines that say how far it is from PyTorch. FolderError beyond 1e-4."""
    import torch

    if checkpoint.parts[0] != "encoder" or "decoder" in checkpoint.parts:
        raise FolderError(f"{checkpoint.folder}: a decoder is not exported as ONNX; encoders and classifiers are")
    network = _Exported(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    batch = torch.export.Dim("batch", min=1)
    length = torch.export.Dim("length", min=2, max=checkpoint.config.max_length)
    image = checkpoint.config.image_height > 0
    axes: Any = ({0: batch},) if image else ({0: batch, 1: length}, {0: batch, 1: length})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own parts
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        _write(
            network.module, network.example_inputs(3, min(12, checkpoint.config.max_length)), str(folder / FILE),
            input_names=["pixels"] if image else ["input_ids", "attention_mask"], output_names=[network.output],
            dynamic_shapes=axes, opset_version=_OPSET, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    try:
        found = difference(checkpoint, folder / FILE)
    except Exception as error:  # onnxruntime's own kinds
        raise FolderError(f"{folder / FILE}: onnxruntime cannot ask it: {str(error).splitlines()[0]}") from None
    line = f"{folder / FILE}: the largest difference from PyTorch is {found:.1e}"
    if not found <= BAR:
        raise FolderError(f"{line}, more than {BAR:g}: not to be used")
    return [line]


def _write(*arguments: Any, **options: Any) -> None:
    import torch

    try:
        torch.onnx.export(*arguments, **options)
    except torch.onnx.OnnxExporterError as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        raise FolderError(f"PyTorch cannot write this network as ONNX: {reason}") from None


def difference(checkpoint: Checkpoint, file: Path) -> float:
    """The largest difference between onnxruntime's outputs and PyTorch's, over several sizes of batch, lengths, paddings."""
    import numpy as np
    import onnxruntime

    network, found = _Exported(checkpoint), 0.0
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    longest = checkpoint.config.max_length
    for rows, length in ((1, 2), (1, longest), (4, max(2, longest // 3)), (3, max(2, longest - 1))):
        inputs = network.example_inputs(rows, length)
        ours = network.answer(inputs)
        feeds = {one.name: value.numpy() for one, value in zip(session.get_inputs(), inputs, strict=True)}
        theirs = session.run(None, feeds)[0]
        seen = inputs[1].numpy() if network.output == "memory" and len(inputs) > 1 else np.ones(len(ours), bool)
        found = max(found, float(np.abs(ours - theirs)[seen].max()))
    return found


class _Exported:
    """The network as it is exported, and made-up questions to it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        from models.torch.with_heads import EncoderWithClassifier, assemble, fill

        network = fill(assemble(checkpoint.config, checkpoint.parts, len(checkpoint.labels)), checkpoint.weights)
        self.config = checkpoint.config
        self.module = EncoderWithClassifier(network).eval()
        self.output = "logits" if any("classifier" in part for part in checkpoint.parts) else "memory"

    def example_inputs(self, rows: int, length: int) -> tuple[torch.Tensor, ...]:
        """Token ids, each row shorter than the one before, and their mask; of images, pixels."""
        import torch

        config, generator = self.config, torch.Generator().manual_seed(rows * 1000 + length)
        if config.image_height:
            shape = (rows, config.image_channels, config.image_height, config.image_width)
            return (torch.rand(shape, generator=generator),)
        ids = torch.randint(0, config.vocab_size, (rows, length), generator=generator)
        lengths = torch.tensor([max(1, length * (rows - row) // rows) for row in range(rows)])
        mask = torch.arange(length) < lengths.unsqueeze(-1)
        return ids.where(mask, config.pad_id), mask

    def answer(self, inputs: tuple[torch.Tensor, ...]) -> Any:
        """PyTorch's outputs."""
        import torch

        with torch.no_grad():
            return self.module(*inputs).numpy()
