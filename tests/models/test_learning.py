"""Each architecture learns a tiny set by heart: what cannot do that is broken, whatever its equations say."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.config import ModelConfig
from models.torch import Classifier, LMHead, MaskedLMHead, build, initialize

SMALL = {
    "d_model": 32,
    "d_ff": 64,
    "num_heads": 4,
    "num_layers": 2,
    "max_length": 16,
    "vocab_size": 30,
    "initializer_std": 0.2,  # at this width, what 0.05 is at 512
}
LENGTH, ROWS = 6, 8
POSITIONS = {
    "learned": {},
    "sinusoidal": {"positions": "sinusoidal"},
    "rope": {"positions": "rope"},
    "alibi": {"positions": "alibi"},
    "relative": {"positions": "relative", "relative_buckets": 16},
}
TRANSFORMERS = {
    "bert": {"norm": "post", "pooling": "cls", "activation": "gelu_exact"},
    "modern": {"positions": "rope", "activation": "geglu", "bias": False, "embedding_norm": True, "window": 4},
    "albert": {"share_layers": True, "d_embedding": 16, "norm": "post"},
    "2017": {"positions": "sinusoidal", "norm": "post", "embedding_norm": False, "scale_embeddings": True,
             "activation": "relu", "initializer": "xavier"},
    "gpt2": {"activation": "gelu_tanh", "initializer": "gpt2"},
    "llama": {"positions": "rope", "norm_kind": "rms", "activation": "swiglu", "bias": False, "num_kv_heads": 2,
              "tie_embeddings": False},
    "t5": {"positions": "relative", "norm_kind": "rms", "bias": False, "scale_attention": False,
           "scale_logits": True, "activation": "relu"},
}  # fmt: skip
CELLS = {cell: {"network": "recurrent", "cell": cell, "num_layers": 1} for cell in ("rnn", "lstm", "gru")}
TEXTCNN = {"network": "convolutional", "num_layers": 1, "d_model": 33, "pooling": "max"}
ALIGNED = {
    "bahdanau": {**CELLS["gru"], "alignment": "additive"},
    "luong": {**CELLS["lstm"], "alignment": "multiplicative"},
}


def tokens(rows=ROWS, length=LENGTH, seed=0):
    """Rows of tokens, no token twice in a row."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([5 + torch.randperm(25, generator=generator)[:length] for _ in range(rows)])


def ordered():
    """Rows and the same rows with two tokens swapped: the label is which of the two comes first."""
    rows = tokens(ROWS // 2)
    swapped = rows.clone()
    swapped[:, [0, 3]] = rows[:, [3, 0]]
    return torch.cat([rows, swapped]), torch.tensor([0] * (ROWS // 2) + [1] * (ROWS // 2))


def network(parts, config):
    made = nn.ModuleDict(parts)
    initialize(made, config, 0)
    return made


def learn(made, loss, updates=300, learning_rate=1e-2, enough=0.05):
    """The loss after at most so many updates; less are needed where it is small enough before."""
    optimizer = torch.optim.AdamW(made.parameters(), learning_rate)
    for _ in range(updates):
        value = loss()
        if value.item() < enough:
            break
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(made.parameters(), 1.0)
        optimizer.step()
    return value.item()


def classified(changes, updates=300):
    config = ModelConfig(**SMALL | changes)
    made, (ids, labels) = (
        network({"encoder": build("Encoder", config), "head": Classifier(config, 2)}, config),
        ordered(),
    )
    return learn(made, lambda: F.cross_entropy(made["head"](made["encoder"](ids), None), labels), updates)


@pytest.mark.parametrize("positions", POSITIONS)
def test_encoder_learns_token_order_with_every_position_type(positions):
    assert classified(POSITIONS[positions]) < 0.05


def test_encoder_without_positions_cannot_learn_token_order():
    assert classified({"positions": "none"}, updates=40) > 0.69 - 0.001, "log 2: it sees the same bag twice"


@pytest.mark.parametrize("kind", ["bert", "modern", "albert", "2017"])
def test_an_encoder_learns_labels(kind):
    assert classified(TRANSFORMERS[kind]) < 0.05


@pytest.mark.parametrize("kind", [*CELLS, "textcnn"])
def test_recurrent_and_convolutional_encoders_learn_labels(kind):
    assert classified({**CELLS, "textcnn": TEXTCNN}[kind]) < 0.05


@pytest.mark.parametrize("kind", ["bert", "modern", "albert"])
def test_encoder_learns_masked_tokens(kind):
    config = ModelConfig(**SMALL | TRANSFORMERS[kind])
    made = network({"encoder": build("Encoder", config), "head": MaskedLMHead(config)}, config)
    ids, masked = tokens(), tokens()
    masked[:, 3] = 4

    def loss():
        memory = made["encoder"](masked)[:, 3]
        return F.cross_entropy(made["head"](memory, made["encoder"].embedding.tokens.weight), ids[:, 3])

    assert learn(made, loss) < 0.05


@pytest.mark.parametrize("kind", ["gpt2", "llama", "2017", "t5", *CELLS])
def test_a_decoder_learns_texts(kind):
    config = ModelConfig(**SMALL | {**TRANSFORMERS, **CELLS}[kind])
    made, ids = network({"decoder": build("Decoder", config), "head": LMHead(config)}, config), tokens()
    starts = torch.cat([torch.arange(ROWS)[:, None] + 5, ids], 1)  # each text begins with a token that names it

    def loss():
        logits = made["head"](made["decoder"](starts[:, :-1]), made["decoder"].embedding.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), starts[:, 1:].flatten())

    assert learn(made, loss) < 0.05


@pytest.mark.parametrize("kind", ["2017", "t5", "llama", *ALIGNED])
def test_encoder_decoder_learns_to_reverse_tokens(kind):
    config = ModelConfig(**SMALL | {**TRANSFORMERS, **ALIGNED}[kind])
    made = network({"both": build("EncoderDecoder", config), "head": LMHead(config)}, config)
    source = tokens()
    target = torch.cat([torch.full((ROWS, 1), 2), source.flip(1)], 1)
    embedding = made["both"].encoder.embedding.tokens

    def loss():
        logits = made["head"](made["both"](source, None, target[:, :-1]), embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten())

    assert learn(made, loss) < 0.05
    assert said(made, source, config) == source.flip(1).tolist()


@torch.no_grad()
def said(made, source, config):
    """Tokens written, the likeliest at a time, from the cache."""
    made.eval()
    both = made["both"]
    cache, last, written = both.cache(source, None, LENGTH), torch.full((ROWS, 1), 2), []
    for _ in range(LENGTH):
        logits = made["head"](both.decoder(last, cache=cache), both.encoder.embedding.tokens.weight)
        last = logits[:, -1].argmax(-1, keepdim=True)
        written.append(last)
    return torch.cat(written, 1).tolist()


def test_untrained_language_model_loss_is_log_of_vocabulary_size():
    config = ModelConfig(**SMALL | {"initializer_std": 0.05})
    made, ids = network({"decoder": build("Decoder", config), "head": LMHead(config)}, config), tokens()
    logits = made["head"](made["decoder"](ids[:, :-1]), made["decoder"].embedding.tokens.weight)
    loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item()
    assert loss == pytest.approx(math.log(30), rel=0.1)
