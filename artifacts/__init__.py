"""Artifacts passed between steps: folders with a manifest, written atomically and checked when read."""

from artifacts.artifact import Artifact, ArtifactError, Output, open_artifact
from artifacts.home import home

__all__ = ["Artifact", "ArtifactError", "Output", "home", "open_artifact"]
