"""The loop's calls, answered by PyTorch.

An update's shards are computed side by side, each by one thread, and added in the tree of `training/shards.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from operator import add as add_numbers
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.config import ModelConfig
from models.network import Weights
from models.question import Objective, Question
from models.torch.devices import in_double, numbers_of, tensor_of
from models.torch.dropout import Part, draw_from
from models.torch.embedding import collect_rows
from models.torch.objectives import Contrast, ObjectiveFunction, function_of, sum_by_row
from models.torch.torch_network import TorchNetwork
from training.backend import Answer, Item, RowLosses, Update
from training.depths import rate_scales
from training.errors import TrainingError
from training.options import TrainingOptions
from training.ranks import current, run_of
from training.shards import ShardSum, add_in_tree, map_in_threads, map_in_turn
from training.torch import optimizers
from training.torch.averaging import Averaging
from training.torch.freed_memory import keep_freed_memory
from training.torch.gradients import add_gradients, add_parts, add_rows
from training.torch.low_rank import LowRank, without_trunk
from training.torch.memory import MemoryFit
from training.torch.optimizers import Descent
from training.torch.parameter_groups import hidden_matrices, trainable
from training.torch.precision import LossScale
from training.torch.ranks import add_over


class TorchBackend:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2) on a network with weights in float32; with `optimizer=muon` for
    embeddings, heads and vectors, and Muon for the matrices between them."""

    compile_seconds = 0.0  # `compile=true` does it within the first updates, and tells no time

    def __init__(
        self,
        network: TorchNetwork,
        objective: Objective | ObjectiveFunction,
        options: TrainingOptions,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        self.network, self.options = network, options
        if options.r_drop:
            _check_r_drop(objective, network.config)
        self._objective = function_of(self._with_options(objective)) if isinstance(objective, Objective) else objective
        self._scale = LossScale(network.compute.precision)
        device = network.module.device
        self._memory, self._memory_of_evaluation = MemoryFit(device, "parts"), MemoryFit(device, "parts_of_evaluation")
        named = dict(network.module.named_parameters())
        learning, scales, matrices = trainable(named, options), rate_scales(named, options), hidden_matrices(network)
        hidden = {name: parameter for name, parameter in learning.items() if name in matrices}
        self._low_rank: LowRank | None = None
        if options.lora_rank:
            self._low_rank = LowRank(hidden, options.lora_rank, options.lora_alpha, options.seed)
            factors = self._low_rank.factors
            learning = without_trunk(learning, hidden) | factors
            scales |= {name: scales[name.rpartition("/")[0]] for name in factors}
        self._names = {id(p): name for name, p in learning.items()}
        tables = optimizers.use_sparse_gradients(network.module)
        alone = not network.compute.shares_cores
        parts = 1 if alone else options.shards
        self._optimizers = optimizers.build(learning, hidden, tables, scales, options, betas, parts)
        moving = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
        self._parameters = list(moving.values())
        self._places = {id(parameter): place for place, parameter in enumerate(self._parameters)}
        self._descent = Descent(
            self._parameters, learning.values(), {id(p) for p in tables.values()}, self._optimizers, parts, self.map
        )
        self._averaging = Averaging(moving, options.ema) if options.ema else None
        self._ranks = current()
        self._own = run_of(self._ranks, options.shards)
        self._map_items = map_in_turn if alone else map_in_threads

    def update(self, shards: Sequence[Question], number: int, learning_rate: float) -> Update:
        total = self._sum(shards, number)
        answers = max(1, total.answers)
        self._descent.set_gradients(total.gradients, self._scale.divisor(answers))
        if self._low_rank:
            self._low_rank.take_gradients()
        loss, gradient_norm = float(total.loss) / answers, self._descent.norm()
        if np.isfinite(loss) and np.isfinite(gradient_norm):
            with self._memory.explain("the optimizer's state"):
                self._descent.step(learning_rate, gradient_norm, self.options.clip)
            if self._low_rank:
                self._low_rank.merge()
            if self._averaging:
                self._averaging.add(number)
        skipped = self._scale.is_overflow(loss, gradient_norm)
        return Update(loss, total.answers, gradient_norm, skipped, self._memory.parts)

    def map(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
        """The results in the order of the items, each computed by one thread with PyTorch's settings, which are of a thread."""

        def compute(item: Item) -> Answer:
            prepare()
            return function(item)

        return self._map_items(compute, items)

    @torch.no_grad()
    def row_losses(self, question: Question) -> RowLosses:
        prepare()
        with self.network.autocast():
            self.network.module.eval()
            each = self._memory_of_evaluation.compute(
                question.batch_size, lambda parts: numbers_of(self._by_row(question, parts))
            )
        return RowLosses(each, question.targets)

    def average(self) -> AbstractContextManager[None]:
        return self._averaging.apply() if self._averaging else nullcontext()

    def weights(self) -> Weights:
        return self.network.weights()

    def load_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self.network.load_weights(weights)

    def optimizer(self) -> Weights:
        weights: Weights = self._averaging.state() if self._averaging else {}
        weights |= self._low_rank.state() if self._low_rank else {}
        weights |= self._scale.state() | self._memory.state() | self._memory_of_evaluation.state()
        return weights | optimizers.state_of(self._optimizers, self._names)

    def load_optimizer(self, state: Mapping[str, NDArray[Any]]) -> None:
        for part in (self._scale, self._memory, self._memory_of_evaluation, self._averaging, self._low_rank):
            state = part.load(state) if part else state
        optimizers.load_state(self._optimizers, self._names, state)

    def _with_options(self, objective: Objective) -> Objective:
        if objective.name != "choices":
            return objective
        mine = {"label_smoothing": self.options.label_smoothing, "r_drop": self.options.r_drop}
        return replace(objective, options={**objective.options, **mine})

    def _sum(self, shards: Sequence[Question], number: int) -> ShardSum:
        """The sums over all shards of update `number`, of which these are this rank's."""
        first = self._own.start
        self.network.module.train()
        if isinstance(self._objective, Contrast):
            sums = self._of_contrast(self._objective, shards, first, number)
        else:
            sums = self._in_parts(
                shards, lambda place, parts: self._of_shard(shards[place], number, first + place, parts)
            )
        if self._ranks.count > 1:
            return add_over(self._ranks, sums, self._parameters, self._for_each_place)
        return self._add(sums)

    def _add(self, sums: Sequence[ShardSum]) -> ShardSum:
        """The sum of these shards in the tree."""
        totals: list[Tensor | None] = [None] * len(self._parameters)

        def add(place: int) -> None:
            totals[place] = add_in_tree([one.gradients[place] for one in sums], add_gradients)

        self._for_each_place(add)
        loss, answers = add_in_tree([one.loss for one in sums], add_numbers), sum(one.answers for one in sums)
        return ShardSum(loss, answers, totals)

    def _for_each_place(self, function: Callable[[int], None]) -> None:
        """Call a function with the place of each parameter, a part of them in each thread."""

        def call(places: Sequence[int]) -> None:
            for place in places:
                function(place)

        self.map(call, self._descent.parts)

    def _in_parts(self, shards: Sequence[Question], compute: Callable[[int, int], Answer]) -> list[Answer]:
        """The answers of `compute` for each shard's place, given the number of parts that fits the device's memory."""
        rows = max((shard.batch_size for shard in shards), default=1)
        return self._memory.compute(
            rows, lambda parts: self.map(lambda place: compute(place, parts), range(len(shards)))
        )

    def _of_shard(self, question: Question, number: int, shard: int, parts: int) -> ShardSum:
        return add_in_tree([self._of_part(question, run, number, shard) for run in question.cuts(parts)], add_parts)

    def _of_part(self, question: Question, run: slice, number: int, shard: int) -> ShardSum:
        part = question.part(run)
        with collect_rows() as rows:
            loss = self._draw(
                number, shard, question, run, lambda: self._objective(self.network.module, part).each.sum()
            )
            gradients = [*torch.autograd.grad(self._scale.scale(loss), self._parameters, allow_unused=True)]
        for table, ids, vectors in rows:
            place = self._places[id(table)]
            gradients[place] = add_rows(gradients[place], ids, vectors, table)
        return ShardSum(in_double(loss), len(part.places), gradients)

    def _by_row(self, question: Question, parts: int) -> Tensor:
        """The loss of each row [B], computed in parts."""
        objective, module = self._objective, self.network.module
        pieces = [question.part(run) for run in question.cuts(parts)]
        if not isinstance(objective, Contrast):
            return torch.cat([sum_by_row(objective(module, piece), piece.batch_size) for piece in pieces])
        vectors = torch.cat([objective.vectors(module, piece) for piece in pieces])
        return sum_by_row(
            objective.terms(vectors, tensor_of(question.more["kinds"], module.device)), question.batch_size
        )

    def _of_contrast(self, objective: Contrast, shards: Sequence[Question], first: int, number: int) -> list[ShardSum]:
        """A row's negatives are in all shards: their vectors come first, then the loss, then the gradients through these vectors.

        Where a shard is computed in parts, their graphs are not kept, and the vectors are computed a second time.
        """

        def part_of(place: int, run: slice) -> Tensor:
            part = shards[place].part(run)
            return self._draw(
                number, first + place, shards[place], run, lambda: objective.vectors(self.network.module, part)
            )

        def vectors_of(place: int, parts: int) -> Tensor:
            with torch.set_grad_enabled(parts == 1):
                return torch.cat([part_of(place, run) for run in shards[place].cuts(parts)])

        each = self._in_parts(shards, vectors_of)
        every = self._ranks.gather(
            [(numbers_of(part), shard.more["kinds"]) for part, shard in zip(each, shards, strict=True)]
        )
        pairs = [pair for of_rank in every for pair in of_rank]
        vectors = torch.from_numpy(np.concatenate([part for part, _ in pairs])).requires_grad_()
        kinds = torch.from_numpy(np.concatenate([part for _, part in pairs]))
        loss = objective.terms(vectors, kinds).each.sum()
        whole = torch.autograd.grad(self._scale.scale(loss), vectors)[0].to(self.network.module.device)
        gradients = torch.split(whole, [len(part) for part, _ in pairs])
        before = sum(len(of_rank) for of_rank in every[: self._ranks.rank])

        def sum_of(place: int, parts: int) -> ShardSum:
            if parts > 1:
                each.clear()  # graphs of an attempt that did not fit
            sums = [gradients_of(place, run, parts) for run in shards[place].cuts(parts)]
            own = add_in_tree(sums, lambda one, other: [*map(add_gradients, one, other)])
            of_first = in_double(loss) if before + place == 0 else 0.0
            return ShardSum(of_first, len(shards[place].places), own)

        def gradients_of(place: int, run: slice, parts: int) -> Sequence[Tensor | None]:
            vectors = each[place] if parts == 1 else part_of(place, run)
            return torch.autograd.grad(vectors, self._parameters, gradients[before + place][run], allow_unused=True)

        return self._in_parts(shards, sum_of)

    def _draw(self, number: int, shard: int, question: Question, run: slice, compute: Callable[[], Tensor]) -> Tensor:
        """Compute a run of a shard's rows with this shard's dropout. A function of (seed, number, shard), it needs no place in a
        checkpoint, and nothing that runs beside or between can shift it."""
        generator = self._generator(number, shard)
        part: Part | None = None
        if run != slice(0, question.batch_size):
            rows = np.arange(question.batch_size)
            chosen = [(rows >= run.start) & (rows < run.stop), question.answers(run)]
            part = Part([torch.from_numpy(one) for one in chosen], self._generator(number, shard, run.start))
        if generator.device.type == "cuda":  # attention's kernel draws from the device's own generator
            torch.cuda.manual_seed((part.own if part else generator).initial_seed())
        with draw_from(generator, part), self.network.autocast():
            return compute()

    def _generator(self, *place: int) -> torch.Generator:
        state = np.random.SeedSequence([self.options.seed, *place]).generate_state(1, np.uint64)[0]
        return torch.Generator(self.network.module.device).manual_seed(int(state >> 1))


def _check_r_drop(objective: Objective | ObjectiveFunction, config: ModelConfig) -> None:
    """TrainingError if there are no two answers to compare."""
    if not isinstance(objective, Objective) or objective.name != "choices":
        raise TrainingError("r_drop is for tasks that choose among labels, without a teacher: set r_drop=0")
    if not (config.dropout or config.dropout_of_attention or config.layer_dropout):
        raise TrainingError("r_drop compares two draws of dropout, and there is none: set dropout, or r_drop=0")


def prepare() -> None:
    """Make PyTorch repeatable on any number of cores, and quick on CPUs: one thread computes a shard, and no denormal numbers."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed_memory()
