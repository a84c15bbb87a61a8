"""What a model is: its modules, shapes, parameters, FLOPs and memory, told without training and mostly without torch."""
