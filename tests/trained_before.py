"""Imported by a server that forks trainings: what PyTorch loads only as it computes and saves is there before the first of them."""

import tempfile
from pathlib import Path

import training.torch.ranks  # noqa: F401
from tests.small_training import train
from training import shards
from training.torch.backend import prepare

prepare()
shards.cores = lambda: 1  # a forked process cannot start threads that use PyTorch
with tempfile.TemporaryDirectory() as folder:
    train(Path(folder), max_updates=1)
