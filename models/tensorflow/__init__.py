"""The transformer in TensorFlow, written as the papers write it: the twin of `models/torch/`, file by file."""

import contextlib
import importlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is loaded: no notes on its build
# PyTorch's compiler has an LLVM of its own, and loading that after TensorFlow's ends the process (options registered twice).
with contextlib.suppress(ImportError):
    importlib.import_module("triton")
