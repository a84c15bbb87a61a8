"""The heads by hand."""

import pytest
import torch
import torch.nn.functional as F

from models import parameters
from models.config import ModelConfig
from models.torch import Classifier, EmbeddingHead, LMHead, MaskedLMHead, SequencePool, pool

CONFIG = ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=10)


def test_masked_lm_scores_are_products_with_the_embedding():
    head, hidden, embedding = MaskedLMHead(CONFIG), torch.randn(3, 8), torch.randn(10, 8)
    with torch.no_grad():
        head.dense.weight.copy_(torch.eye(8))
        head.dense.bias.zero_()
        head.bias.copy_(torch.arange(10.0))
    activated = F.gelu(hidden)
    normed = (activated - activated.mean(-1, keepdim=True)) / (activated.var(-1, False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(head(hidden, embedding), normed @ embedding.T + torch.arange(10.0))


def test_classifier_pools_mean_without_padding():
    head, memory = Classifier(CONFIG, 3), torch.randn(2, 4, 8)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    means = torch.stack([memory[0].mean(0), memory[1, :2].mean(0)])
    expected = head.output(head.dense(means).tanh())
    torch.testing.assert_close(head(memory, mask), expected)
    torch.testing.assert_close(head(memory[:1], None), expected[:1])


def test_pooling_matches_hand_calculation_and_ignores_padding():
    memory = torch.randn(3, 5, 8)
    for length in (1, 3, 5):
        rows, mask = memory[:1], torch.arange(5)[None] < length
        vectors = memory[0, :length]
        expected = {"mean": vectors.mean(0), "max": vectors.amax(0), "last": vectors[-1], "cls": vectors[0]}
        for how, vector in expected.items():
            torch.testing.assert_close(pool(rows, mask, how)[0], vector)
            torch.testing.assert_close(pool(rows[:, :length], None, how)[0], vector)


@pytest.mark.parametrize("how", ["mean", "max", "last", "cls"])
def test_no_gradient_of_a_pooled_vector_reaches_padding(how):
    memory = torch.randn(2, 5, 8, requires_grad=True)
    mask = torch.arange(5)[None] < torch.tensor([[5], [2]])
    pool(memory, mask, how).sum().backward()
    assert not memory.grad[1, 2:].any()
    assert memory.grad[1, :2].any()


def test_next_token_scores_are_products_with_the_embedding():
    hidden, embedding = torch.randn(2, 3, 8), torch.randn(10, 8)
    torch.testing.assert_close(LMHead(CONFIG)(hidden, embedding), hidden @ embedding.T)
    scaled = LMHead(CONFIG.with_changes({"scale_logits": True}))
    torch.testing.assert_close(scaled(hidden, embedding), hidden @ embedding.T / 8**0.5)
    small, vectors = LMHead(CONFIG.with_changes({"d_embedding": 5})), torch.randn(10, 5)
    torch.testing.assert_close(small(hidden, vectors), hidden @ small.projection.weight.T @ vectors.T)


def test_untied_lm_head_has_own_output_matrix():
    head, hidden = LMHead(CONFIG.with_changes({"tie_embeddings": False, "d_embedding": 5})), torch.randn(2, 8)
    torch.testing.assert_close(head(hidden, torch.randn(10, 5)), hidden @ head.output.weight.T)
    assert [name for name, _ in head.named_parameters()] == ["output.weight"]


def test_sequence_pooling_weighs_each_vector_by_its_own_score():
    config = ModelConfig(d_model=8, num_heads=2, vocab_size=9)
    pool, memory = SequencePool(config), torch.randn(2, 3, 8)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    scores = memory @ pool.score.weight[0] + pool.score.bias
    first, second = scores[0].softmax(0), scores[1, :2].softmax(0)
    expected = torch.stack([first @ memory[0], second @ memory[1, :2]])
    torch.testing.assert_close(pool(memory, mask), expected)


def test_sequence_pooling_classifier_works_without_hidden_layer():
    config = ModelConfig(d_model=8, num_heads=2, vocab_size=9, pooling="sequence")
    classifier, memory = Classifier(config, 3, hidden=False), torch.randn(2, 5, 8)
    pooled = classifier.pool(memory)
    torch.testing.assert_close(classifier(memory, None), pooled @ classifier.output.weight.T + classifier.output.bias)
    shapes = {name: tuple(value.shape) for name, value in classifier.state_dict().items()}
    assert shapes == parameters.classifier(config, 3, hidden=False)


def test_embedding_head_gives_unit_vectors_and_ignores_padding():
    memory, mask = torch.randn(2, 4, 8), torch.tensor([[True] * 4, [True, True, False, False]])
    vectors = EmbeddingHead(CONFIG)(memory, mask)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))
    mean = memory[1, :2].mean(0)
    torch.testing.assert_close(vectors[1], mean / mean.norm())
    assert EmbeddingHead(CONFIG, 3)(memory, mask).shape == (2, 3)
    assert not list(EmbeddingHead(CONFIG).parameters())


def test_embedding_head_pools_by_learned_weights_where_asked():
    head = EmbeddingHead(CONFIG.with_changes({"pooling": "sequence"}), 3)
    memory, mask = torch.randn(2, 4, 8), torch.tensor([[True] * 4, [True, True, False, False]])
    expected = F.normalize(head.pool(memory, mask) @ head.projection.weight.T, dim=-1)
    torch.testing.assert_close(head(memory, mask), expected)
    shapes = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    assert shapes == parameters.embedding_head(CONFIG.with_changes({"pooling": "sequence"}), 3)
