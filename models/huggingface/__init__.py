"""Weights from Hugging Face, and back: folders as `transformers` saves and loads them. numpy, safetensors and JSON alone.

One file a family, with one table of names that serves both directions. Nothing of `transformers` is imported, and nothing
is ever unpickled.
"""

from models.huggingface.family import FolderError
from models.huggingface.reading import FAMILIES, Pretrained, folder_files, read, read_config
from models.huggingface.writing import family_of, write

__all__ = ["FAMILIES", "FolderError", "Pretrained", "family_of", "folder_files", "read", "read_config", "write"]
