"""Networks from before the transformer in the training loop: interrupted and resumed, they end with the same bytes."""

import pytest

from tests.small_training import CONFIG, Hooked, backend, raising_at, same, train

NETWORKS = {
    "lstm": {"network": "recurrent", "cell": "lstm"},
    "gru": {"network": "recurrent", "cell": "gru", "num_layers": 2},
    "textcnn": {"network": "convolutional", "kernel_sizes": "2,3", "num_layers": 2},
}


@pytest.mark.parametrize("network", NETWORKS)
def test_resumed_training_matches_uninterrupted_training(network, tmp_path):
    config = CONFIG.with_changes(NETWORKS[network])
    whole = train(tmp_path / "whole", chosen=backend(config=config), max_updates=12)
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "cut", chosen=Hooked(backend(config=config), raising_at(7)), max_updates=12)
    assert same(whole, train(tmp_path / "cut", chosen=backend(config=config), max_updates=12))
