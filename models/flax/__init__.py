"""The models in Flax NNX, written as the papers write them: twins of `models/torch/`, with the same checkpoints."""
