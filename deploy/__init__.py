"""Programs outside a pipeline: the registered model's code, servers, images and the observability stack."""
