"""The training loop's backend in TensorFlow."""

import models.tensorflow  # noqa: F401 - it sets what must be set before TensorFlow is loaded
