"""Pretraining, compared with Hugging Face's Trainer and BertForMaskedLM, with the data of run_mlm.py.

    python -m benchmarks.train_encoder [--updates 300] [--rounds 2] [--threads 2]

Same text (the docstrings of `docs`), tokenizer (8,192 ids), width, depth, heads, feed-forward width, dropout, batch
tokens, learning rates, optimizer and threads; the same number of tokens that are not padding; validated on the same rows
and masks. The peer's texts are joined and cut into blocks, so that it has no padding; ours stay apart and are put into
batches by length. Each training is a process of its own, in turn; the figures are ratios of medians.

`bert-sparse` is the peer with its vocabulary head computed at masked positions alone, as ours is: the ratio to it is
what is left when the peer's full-vocabulary head is taken off the bill.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.results import keep
from steps.process import WAITING
from training.shards import map_in_turn

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("ours", "bert", "bert-sparse")
NOISE = 0.05  # nats: how far two seeds of one training lie apart after so few updates


def main() -> None:
    """Measure and keep the figures; with `--child`, one training."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--updates", type=int, default=300, help="updates of the peer; ours train as many tokens")
    parser.add_argument("--rounds", type=int, default=2, help="trainings of each kind")
    parser.add_argument("--threads", type=int, default=2, help="of the peer; ours takes all cores")
    parser.add_argument("--data", type=Path, help="folder with a corpus and a tokenizer made by an earlier call")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measured = train_ours(options) if options.child == "ours" else train_bert(options)
        print(json.dumps(measured))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder)
        make_data(data)
        measured = {kind: [] for kind in KINDS}
        for number in range(options.rounds):
            for kind in KINDS if number % 2 == 0 else reversed(KINDS):
                measured[kind].append(child(kind, data, options))
                print(f"  {kind:12} {json.dumps(measured[kind][-1])}", flush=True)
    report(measured, options)


def report(measured: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    """Ratios of the medians."""
    speed = {kind: statistics.median(run["tokens"] / run["seconds"] for run in runs) for kind, runs in measured.items()}
    loss = {kind: runs[0]["validation_loss"] for kind, runs in measured.items()}
    for kind in KINDS:
        print(f"{kind:12} {speed[kind]:8,.0f} tokens/s, validation loss {loss[kind]:.3f}")
    whole, sparse = speed["ours"] / speed["bert"], speed["ours"] / speed["bert-sparse"]
    worse = loss["ours"] - loss["bert"]
    command = f"python -m benchmarks.train_encoder --updates {options.updates}"
    keep("train_encoder", command, [
        {"what": "pretraining: tokens a second, against Trainer with BertForMaskedLM", "value": round(whole, 2),
         "unit": "x", "bar": "at least 2.0, goal 2.5", "ok": whole >= 2.0},
        {"what": "the same, with the peer's full-vocabulary head off the bill", "value": round(sparse, 2),
         "unit": "x", "bar": "informational", "ok": True},
        {"what": "validation loss above the peer's after as many tokens", "value": round(worse, 3),
         "unit": "nats", "bar": f"at most {NOISE} (noise)", "ok": worse <= NOISE},
    ])  # fmt: skip


def child(kind: str, data: Path, options: argparse.Namespace) -> dict[str, float]:
    """One training in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.train_encoder", "--child", kind, "--data", str(data)]
    command += ["--updates", str(options.updates), "--threads", str(options.threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=quiet(options.threads))
    if done.returncode:
        sys.exit(f"{kind}: exit {done.returncode}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def quiet(threads: int) -> dict[str, str]:
    """An environment in which nothing phones home, and idle threads sleep, as the steps' wrapper has it."""
    return os.environ | {
        "OMP_NUM_THREADS": str(threads),
        **WAITING,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }


def make_data(folder: Path, prepare: Mapping[str, Any] | None = None, vocab_size: int = 8192) -> None:
    """The corpus and tokenizer of the pipeline docs, or with other settings, by the steps' own code."""
    if (folder / "made.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    from artifacts import Output
    from steps.step import load_step

    prepare_data = load_step("prepare_data")
    train_tokenizer = load_step("train_tokenizer")
    from telemetry import Observe

    observe, paths = Observe.silent(), {}
    output = Output("corpus", folder / "work-corpus", step="prepare_data", root=folder)
    prepare_data.run(prepare_data.Config(**prepare or {"source": "docs"}), {}, output, observe)
    corpus = output.commit()
    output = Output("tokenizer", folder / "work-tokenizer", step="train_tokenizer", root=folder)
    config = train_tokenizer.Config(corpus=str(corpus.path), vocab_size=vocab_size)
    train_tokenizer.run(config, {"corpus": corpus}, output, observe)
    paths = {"corpus": str(corpus.path), "tokenizer": str(output.commit().path)}
    (folder / "made.json").write_text(json.dumps(paths))


def open_inputs(options: argparse.Namespace):
    """Corpus, tokenizer and the Config of pretrain, with its defaults."""
    from artifacts import open_artifact
    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from steps.pretrain.config import Config

    paths = json.loads((options.data / "made.json").read_text())
    config = Config(**paths, max_updates=options.updates)
    return Corpus(open_artifact(paths["corpus"])), Tokenizer(open_artifact(paths["tokenizer"]).path), config


def train_ours(options: argparse.Namespace) -> dict[str, float]:
    """The training loop of `pretrain`, until it has seen as many tokens as the peer."""
    from tasks.masked_lm.task import TASK
    from tasks.model import build
    from telemetry import Observe
    from training.batches import epoch
    from training.frameworks import build_backend, prepare
    from training.loop import Trainer
    from training.options import TrainingOptions
    from training.validation import evaluate

    corpus, tokenizer, config = open_inputs(options)
    prepare()
    settings = TASK.settings(corpus, {})
    encoder = TASK.config(config, tokenizer, settings)
    examples = TASK.examples(corpus, tokenizer, "train", settings, encoder)
    validation = TASK.examples(corpus, tokenizer, "validation", settings, encoder).spread(config.validation_rows)
    order = epoch(examples, config.batch_tokens, config.seed, 0)
    updates, tokens = 0, 0
    while tokens < config.max_updates * config.batch_tokens:
        tokens, updates = tokens + int(examples.lengths[order[updates]].sum()), updates + 1
    ask = partial(TASK.ask, encoder, settings)
    backend = build_backend(build(TASK, encoder, settings, config.seed), TASK.objective(settings), config)
    chosen = TrainingOptions(
        max_updates=updates,
        batch_tokens=config.batch_tokens,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        seed=config.seed,
        log_every=config.log_every,
        evaluate_every=updates,
        checkpoint_every=config.checkpoint_every,
    )
    with tempfile.TemporaryDirectory() as work:
        started, cpu = time.perf_counter(), time.process_time()
        trainer = Trainer(backend, ask, examples, validation.spread(1), chosen, Path(work), Observe.silent())
        result = trainer.run("ours")
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return {
        "tokens": result.history["tokens"],
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "updates": updates,
        "padding_share": result.history["padding_share"],
        "validation_loss": evaluate(backend, ask, validation, 2 * config.batch_tokens, config.seed),
    }


def train_bert(options: argparse.Namespace) -> dict[str, float]:
    """Trainer, BertForMaskedLM and DataCollatorForLanguageModeling, as in run_mlm.py."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling, Trainer, TrainingArguments

    from tasks.masked_lm.task import TASK
    from training.validation import evaluate

    corpus, tokenizer, config = open_inputs(options)
    settings = TASK.settings(corpus, {})
    ours = TASK.config(config, tokenizer, settings)
    torch.set_num_threads(options.threads)
    torch.manual_seed(config.seed)
    network = (BertForMaskedLM if options.child == "bert" else sparse_bert())(
        BertConfig(
            vocab_size=tokenizer.vocab_size, hidden_size=ours.d_model, num_hidden_layers=ours.num_layers,
            num_attention_heads=ours.num_heads, intermediate_size=ours.d_ff, max_position_embeddings=ours.max_length,
            hidden_dropout_prob=ours.dropout, attention_probs_dropout_prob=ours.dropout, pad_token_id=ours.pad_id,
            layer_norm_eps=ours.layer_norm_epsilon, initializer_range=ours.initializer_std,
        )
    )  # fmt: skip
    rows = config.batch_tokens // ours.max_length
    with tempfile.TemporaryDirectory() as work:
        arguments = TrainingArguments(
            output_dir=work, max_steps=config.max_updates, per_device_train_batch_size=rows,
            learning_rate=config.learning_rate, weight_decay=config.weight_decay, adam_beta2=0.98,
            max_grad_norm=config.clip, warmup_steps=round(config.warmup * config.max_updates),
            lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": 0.1}, seed=config.seed,
            logging_steps=config.log_every, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        collator = DataCollatorForLanguageModeling(hugging_face(tokenizer), mlm_probability=0.15)
        blocks = join_texts(corpus, tokenizer, ours.max_length, config.max_updates * rows)
        trainer = Trainer(network, arguments, train_dataset=blocks, data_collator=collator)
        warnings.simplefilter("ignore")
        started, cpu = time.perf_counter(), time.process_time()
        trainer.train()
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    validation = TASK.examples(corpus, tokenizer, "validation", settings, ours).spread(config.validation_rows)
    ask = partial(TASK.ask, ours, settings)
    return {
        "tokens": config.max_updates * rows * ours.max_length,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "updates": config.max_updates,
        "validation_loss": evaluate(PeerLosses(network), ask, validation, 2 * config.batch_tokens, config.seed),
    }


def join_texts(corpus, tokenizer, length: int, count: int):
    """`group_texts` of run_mlm.py: all texts behind one another, cut into blocks. Evenly from the whole split."""
    import datasets
    import numpy as np

    def tokens():
        for batch in corpus.batches("train", ["text"]):
            for ids in tokenizer.encode_batch(batch.column("text").to_pylist()):
                yield from (tokenizer.cls_id, *ids, tokenizer.sep_id)

    stream = np.fromiter(tokens(), np.int32)
    blocks = stream[: len(stream) // length * length].reshape(-1, length)
    assert len(blocks) >= count, "one epoch is enough"
    blocks = blocks[np.random.default_rng(0).permutation(len(blocks))[: max(count, 1)]]
    special = (blocks < tokenizer.first_id).astype(np.int8)
    return datasets.Dataset.from_dict(
        {"input_ids": list(blocks), "attention_mask": list(np.ones_like(special)), "special_tokens_mask": list(special)}
    )


def hugging_face(tokenizer):
    """Our ids under the names that the collator asks for."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    from artifacts.tokenizer import SPECIAL

    names = [*SPECIAL, *(f"piece{i}" for i in range(len(SPECIAL), tokenizer.vocab_size))]
    made = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=SPECIAL[1]))
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


def sparse_bert():
    """BertForMaskedLM whose vocabulary head sees masked positions alone."""
    from torch.nn.functional import cross_entropy
    from transformers import BertForMaskedLM
    from transformers.modeling_outputs import MaskedLMOutput

    class SparseBert(BertForMaskedLM):
        def forward(self, input_ids, attention_mask=None, labels=None, **_):
            hidden = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
            wanted = labels != -100
            logits = self.cls(hidden[wanted])
            return MaskedLMOutput(loss=cross_entropy(logits, labels[wanted]), logits=logits)

    return SparseBert


class PeerLosses:
    """The losses of our masked-LM task, on the same masks, by a BertForMaskedLM: what `evaluate` asks of a backend."""

    def __init__(self, network: Any) -> None:
        self._network = network.eval()

    map = staticmethod(map_in_turn)

    def row_losses(self, question: Any) -> Any:
        """See training/backend.py."""
        import torch
        from torch.nn.functional import cross_entropy

        from models.torch.objectives import Terms, sum_by_row
        from training.backend import RowLosses

        ids = torch.from_numpy(question.inputs["input_ids"])
        mask = question.inputs.get("attention_mask")
        with torch.no_grad():
            attention_mask = torch.ones_like(ids) if mask is None else torch.from_numpy(mask)
            hidden = self._network.bert(ids, attention_mask=attention_mask).last_hidden_state
            logits = self._network.cls(hidden.flatten(0, 1)[torch.from_numpy(question.places)])
            assert math.isfinite(logits.sum().item())
            each = cross_entropy(logits, torch.from_numpy(question.labels), reduction="none")
        terms = Terms(each, torch.from_numpy(question.rows))
        return RowLosses(sum_by_row(terms, question.batch_size).numpy(), question.targets)


if __name__ == "__main__":
    main()
