"""The transformer in TensorFlow, written as the papers write it: the twin of `models/torch/`, file by file."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is loaded: no notes on its build
