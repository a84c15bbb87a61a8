"""A model's modules, shapes, parameters, FLOPs and memory, without training and mostly without torch."""
