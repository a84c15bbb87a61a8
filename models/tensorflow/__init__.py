"""The transformer in TensorFlow, written as the papers write it: the twin of `models/torch/`, file by file."""

import importlib
import os
from contextlib import suppress

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is loaded: no notes on its build
with suppress(ImportError):
    # PyTorch's optimizers load Triton, whose LLVM aborts the process where TensorFlow's was loaded before it.
    importlib.import_module("triton._C.libtriton")
