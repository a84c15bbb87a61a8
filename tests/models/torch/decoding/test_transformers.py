"""The same sequences as `transformers.generate` makes, from the same random weights."""

import warnings

import pytest
import torch
from torch import nn

from models.config import ModelConfig
from models.decoding import Alphabet, Decoding
from models.torch import LMHead, build
from models.torch.decoding.decodable import Continuation, Translation
from models.torch.decoding.search import decode
from tests.models.torch.decoding.networks import padded

END, PAD, ROOM = 3, 0, 10
SIZE = {"d_model": 16, "d_ff": 24, "num_heads": 2, "num_layers": 2, "max_length": 32, "vocab_size": 40}


@pytest.fixture(scope="module")
def transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        transformers.logging.set_verbosity_error()
        yield transformers


def started(model):
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            draw = torch.Generator().manual_seed(len(name) * 31 + sum(map(ord, name)) % 977)
            parameter.copy_(
                torch.randn(parameter.shape, generator=draw) * 0.5 + (1 if "ln_" in name or "layer_norm" in name else 0)
            )
    return model.eval()


def put(module: nn.Module, **weights):
    with torch.no_grad():
        for name, value in weights.items():
            getattr(module, name).copy_(value)


def gpt2(transformers):
    """Theirs, and ours with its weights: their linear layers hold transposed matrices."""
    theirs = started(transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=2, n_inner=24, bos_token_id=END, eos_token_id=END,
        pad_token_id=PAD, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
    )))  # fmt: skip
    config = ModelConfig(**SIZE, preset="gpt2", dropout=0)
    decoder, head, body = build("Decoder", config), LMHead(config), theirs.transformer
    put(decoder.embedding.tokens, weight=body.wte.weight)
    put(decoder.embedding.positions, weight=body.wpe.weight)
    put(decoder.final_norm, weight=body.ln_f.weight, bias=body.ln_f.bias)
    for ours, layer in zip(decoder.layers, body.h, strict=True):
        for part, norm in ((ours.attention_norm, layer.ln_1), (ours.feed_forward_norm, layer.ln_2)):
            put(part, weight=norm.weight, bias=norm.bias)
        for part, linear in (
            (ours.attention.qkv, layer.attn.c_attn),
            (ours.attention.output, layer.attn.c_proj),
            (ours.feed_forward.inner, layer.mlp.c_fc),
            (ours.feed_forward.outer, layer.mlp.c_proj),
        ):
            put(part, weight=linear.weight.T, bias=linear.bias)
    return theirs, decoder.eval(), head.eval()


def t5(transformers):
    theirs = started(transformers.T5ForConditionalGeneration(transformers.T5Config(
        vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_decoder_layers=2, num_heads=2, dropout_rate=0,
        pad_token_id=PAD, eos_token_id=END, decoder_start_token_id=PAD, relative_attention_num_buckets=32,
        relative_attention_max_distance=128, feed_forward_proj="relu", tie_word_embeddings=True,
    )))  # fmt: skip
    config = ModelConfig(**SIZE, preset="t5", num_decoder_layers=2, d_head=8, dropout=0, activation="relu",
                         tie_embeddings=True, scale_logits=True)  # fmt: skip
    network, head = build("EncoderDecoder", config), LMHead(config)
    put(network.encoder.embedding.tokens, weight=theirs.shared.weight)
    for ours, stack in ((network.encoder, theirs.encoder), (network.decoder, theirs.decoder)):
        first = stack.block[0].layer[0].SelfAttention
        put(ours.relative, weight=first.relative_attention_bias.weight)
        put(ours.final_norm, weight=stack.final_layer_norm.weight)
        for own, block in zip(ours.layers, stack.block, strict=True):
            attention, last = block.layer[0], block.layer[-1]
            q, k, v = (getattr(attention.SelfAttention, name).weight for name in "qkv")
            put(own.attention.qkv, weight=torch.cat([q, k, v]))
            put(own.attention.output, weight=attention.SelfAttention.o.weight)
            put(own.attention_norm, weight=attention.layer_norm.weight)
            put(own.feed_forward.inner, weight=last.DenseReluDense.wi.weight)
            put(own.feed_forward.outer, weight=last.DenseReluDense.wo.weight)
            put(own.feed_forward_norm, weight=last.layer_norm.weight)
            if ours is network.decoder:
                cross = block.layer[1]
                q, k, v = (getattr(cross.EncDecAttention, name).weight for name in "qkv")
                put(own.cross.query, weight=q)
                put(own.cross.key_value, weight=torch.cat([k, v]))
                put(own.cross.output, weight=cross.EncDecAttention.o.weight)
                put(own.cross_norm, weight=cross.layer_norm.weight)
    return theirs, network.eval(), head.eval()


def generated(theirs, prompt, mask, options, *, skip):
    """Their sequences of one row, without what was given and what pads: [ids and, where it came, the end]."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        made = theirs.generate(
            prompt, attention_mask=mask.long(), max_new_tokens=ROOM, do_sample=False, num_beams=options.rows,
            num_return_sequences=options.n_best, length_penalty=0.0, early_stopping=False,
        )  # fmt: skip
    found = []
    for row in made[:, skip:].tolist():
        tokens = row[: row.index(END) + 1] if END in row else row
        found.append(tuple(tokens))
    return found


OPTIONS = [
    Decoding(max_new_tokens=ROOM),
    Decoding(method="beam", beams=4, n_best=3, length_penalty=0.0, max_new_tokens=ROOM),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda one: one.method)
def test_gpt2_sequences_match_transformers(transformers, options):
    theirs, decoder, head = gpt2(transformers)
    prompts = torch.randint(4, 40, (12, 6), generator=torch.Generator().manual_seed(3))
    rows = [prompts[i, : 1 + i % 6].tolist() for i in range(12)]
    with torch.no_grad():
        torch.testing.assert_close(
            head(decoder(prompts), decoder.embedding.tokens.weight), theirs(prompts).logits, atol=1e-4, rtol=1e-4
        )
        ours = decode(Continuation(decoder, head, *padded(rows), ROOM), options, Alphabet(END))
    for row, found in zip(rows, ours, strict=True):
        ids = torch.tensor([row])
        assert [(*one.ids, END) if one.ended else one.ids for one in found] == generated(
            theirs, ids, torch.ones_like(ids), options, skip=len(row)
        )


@pytest.mark.parametrize("options", OPTIONS, ids=lambda one: one.method)
def test_t5_sequences_match_transformers(transformers, options):
    theirs, network, head = t5(transformers)
    drawn = torch.randint(4, 40, (12, 7), generator=torch.Generator().manual_seed(4))
    rows = [drawn[i, : 2 + i % 6].tolist() for i in range(12)]
    with torch.no_grad():
        ours = decode(Translation(network, head, *padded(rows), ROOM, PAD), options, Alphabet(END))
    for row, found in zip(rows, ours, strict=True):
        ids = torch.tensor([row])
        assert [(*one.ids, END) if one.ended else one.ids for one in found] == generated(
            theirs, ids, torch.ones_like(ids), options, skip=1
        )
