"""Losses of a question, each written once, for training, evaluation and the loss of single rows.

An objective gives terms [N] and the row of the batch that each belongs to; their sum, divided by the number of answers wanted, is the
loss of the batch. So a term that is a mean of its own (next sentence, ELECTRA's discriminator) is weighted by that number.

Shapes: B rows, T length, E width of a vector, M answers, C choices, V vocabulary, N terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.question import Objective, Question
from models.torch.devices import full_precision, running_sum, tensor_of, tensors_of, widen
from models.torch.task_network import TaskNetwork


class Terms(NamedTuple):
    """Terms of a loss, in nats."""

    each: Tensor  # [N]
    rows: Tensor  # [N], the row that each is of


ObjectiveFunction = Callable[[TaskNetwork, Question], Terms]


def choices(network: TaskNetwork, question: Question, *, label_smoothing: float = 0.0, r_drop: float = 0.0) -> Terms:
    """Cross-entropy of the label among the choices, at each place; smoothed in training alone, so that a validation loss is the
    cross-entropy itself (Szegedy et al. 2016, arXiv 1512.00567, section 7).

    With `r_drop`, in training alone, a batch is answered twice, by two draws of dropout, P and Q. Half of R-Drop's equation 4 (Wu et
    al. 2021, arXiv 2106.14448, section 2.2), so that the loss is as large as that of one answer:

        (CE(P) + CE(Q)) / 2 + r_drop (KL(P || Q) + KL(Q || P)) / 4
    """
    device = network.device
    inputs, places = tensors_of(question.inputs, device), tensor_of(question.places, device)
    labels, rows = tensor_of(question.labels, device), tensor_of(question.rows, device)
    smoothing = label_smoothing if network.training else 0.0
    logits = network.logits(inputs, places)
    each = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    if not (r_drop and network.training):
        return Terms(each, rows)
    again = network.logits(inputs, places)
    second = F.cross_entropy(again, labels, reduction="none", label_smoothing=smoothing)
    p, q = logits.log_softmax(-1), again.log_softmax(-1)
    both_ways = ((p.exp() - q.exp()) * (p - q)).sum(-1)  # KL(P || Q) + KL(Q || P)
    return Terms((each + second) / 2 + r_drop / 4 * both_ways, rows)


def next_sentence(network: TaskNetwork, question: Question) -> Terms:
    """BERT's two losses, means of the masked words' and of the pairs', added: Devlin et al. 2019 (arXiv 1810.04805), appendix A.2.

    `more` has `follows` [B], whether the second segment follows the first.
    """
    device = network.device
    inputs, rows = tensors_of(question.inputs, device), torch.arange(question.batch_size, device=device)
    mask, hidden = inputs.get("attention_mask"), network.hidden_states(inputs)
    words = network.answer("head", hidden, mask, tensor_of(question.places, device))
    pairs = network.answer("next_sentence", hidden, mask, rows)
    of_words = F.cross_entropy(words, tensor_of(question.labels, device), reduction="none")
    of_pairs = F.cross_entropy(pairs, tensor_of(question.more["follows"], device), reduction="none")
    whole = question.whole or question
    weight = len(whole.places) / whole.batch_size
    return Terms(torch.cat([of_words, weight * of_pairs]), torch.cat([tensor_of(question.rows, device), rows]))


def replaced_tokens(network: TaskNetwork, question: Question, *, weight: float) -> Terms:
    """ELECTRA: a generator fills the masks, a discriminator tells which tokens it put there. Clark et al. 2020 (arXiv 2003.10555),
    section 2: L = L_mlm(generator) + weight L_disc(discriminator). Drawing has no gradient.

    `more` has `original` [B, T], the tokens that were there, and `drawn` [M] in [0, 1), by which the generator's tokens are drawn.
    """
    device = network.device
    inputs, more = tensors_of(question.inputs, device), tensors_of(question.more, device)
    ids, mask, places = inputs["input_ids"], inputs.get("attention_mask"), tensor_of(question.places, device)
    labels = tensor_of(question.labels, device)
    small = network.get_submodule("generator")(ids, mask).flatten(0, 1)[places]
    filled = widen(network.get_submodule("generator_head")(small, network.token_vectors))  # [M, V]
    corrupted = (
        ids.flatten()
        .index_copy(0, places, _draw(filled.detach(), more["drawn"], network.config.special_ids))
        .view_as(ids)
    )
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
    # A token that the generator guesses right is no replacement.
    replaced = (corrupted != more["original"])[real].to(filled.dtype)
    scores = widen(network.get_submodule("head")(network.hidden_states({**inputs, "input_ids": corrupted})))[real]
    words = F.cross_entropy(filled, labels, reduction="none")
    tokens = F.binary_cross_entropy_with_logits(scores, replaced, reduction="none")
    whole = question.whole or question
    each = torch.cat([words, len(whole.places) * weight / whole.tokens * tokens])
    return Terms(each, torch.cat([tensor_of(question.rows, device), real.nonzero()[:, 0]]))


@dataclass(frozen=True)
class Contrast:
    """InfoNCE, -log exp(q_i d_i / t) / sum_j exp(q_i d_j / t): which of the batch's documents is the query's own.

    Van den Oord et al. 2018, arXiv 1807.03748, equation 4; with the other rows of the batch as negatives (Henderson et al.
    2017, arXiv 1705.00652, section 4.4) and SimCSE's temperature (Gao et al. 2021, arXiv 2104.08821, equation 1).
    `symmetric`: the mean of that and of the same from the documents' side (CLIP: arXiv 2103.00020, figure 3).

    Its terms are of a whole batch: shards give their vectors, and have the gradients of these back (Gao et al. 2021, "Scaling deep
    contrastive learning batch size under memory limited setup", arXiv 2101.06983, section 3.2, with the graphs kept).

    Queries are the targets; `more` has `kinds` [B, K], numbers of a row's texts: rows with an equal one are no negatives of each other.
    """

    temperature: float
    symmetric: bool

    def __call__(self, network: TaskNetwork, question: Question) -> Terms:
        return self.terms(self.vectors(network, question), tensor_of(question.more["kinds"], network.device))

    def vectors(self, network: TaskNetwork, question: Question) -> Tensor:
        """Documents and queries, [B, 2, E]."""
        inputs = tensors_of(question.inputs, network.device)
        documents = network.vectors(inputs)
        queries = network.vectors({"input_ids": inputs["target_ids"], "attention_mask": inputs["target_mask"]})
        return torch.stack([documents, queries], 1)

    def terms(self, vectors: Tensor, kinds: Tensor) -> Terms:
        """A term for each row, from the vectors [B, 2, E] and kinds [B, K] of all rows."""
        (documents, queries), own = vectors.unbind(1), torch.arange(len(vectors), device=vectors.device)
        others = (kinds[:, None] == kinds[None]).any(-1) & ~torch.eye(len(own), dtype=torch.bool, device=vectors.device)
        with full_precision(queries):  # a cosine of 8 bits over such a temperature would be off by a tenth
            scores = (queries @ documents.T / self.temperature).masked_fill(others, -torch.inf)
        loss = F.cross_entropy(scores, own, reduction="none")
        return Terms((loss + F.cross_entropy(scores.T, own, reduction="none")) / 2 if self.symmetric else loss, own)


_OBJECTIVES: Mapping[str, Callable[..., Terms]] = {
    "choices": choices,
    "next_sentence": next_sentence,
    "replaced_tokens": replaced_tokens,
}


def function_of(objective: Objective) -> ObjectiveFunction:
    """The function of an objective, its options given."""
    if objective.name == "contrast":
        return Contrast(**objective.options)
    function, options = _OBJECTIVES[objective.name], dict(objective.options)
    return lambda network, question: function(network, question, **options)


def sum_by_row(terms: Terms, batch_size: int) -> Tensor:
    """[B]: the terms of each row, added up."""
    return terms.each.new_zeros(batch_size).index_add(0, terms.rows, terms.each)


def _draw(logits: Tensor, drawn: Tensor, special_ids: tuple[int, ...]) -> Tensor:
    """A token for each row of logits [M, V], no special one: the first at which the sum of the probabilities passes `drawn` [M]."""
    logits = logits.clone()
    logits[:, list(special_ids)] = -torch.inf
    sums = running_sum(logits.softmax(-1))
    return torch.searchsorted(sums, drawn.to(sums.dtype).unsqueeze(-1) * sums[:, -1:], right=True).squeeze(-1)
