"""What runs outside a pipeline: the registered model's code, and later images and servers."""
