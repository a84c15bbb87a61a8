"""A smaller network learns from a larger one that was trained before: not only what is right, but how likely all else is.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531), section 2; of a masked language model
Sanh et al. 2019, "DistilBERT" (arXiv 1910.01108), section 3, whose third term, on hidden vectors, is not here.

    L = a T^2 KL(softmax(teacher / T) || softmax(student / T)) + (1 - a) L_hard

T^2 keeps the share of the soft part the same whatever T is. Both networks answer the same question: masks are drawn once.
The teacher is no part of the student's network, so it is neither trained nor kept with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from models.network import Network
from models.question import Objective, Question
from models.torch.devices import tensor_of, tensors_of
from models.torch.objectives import ObjectiveFunction, Terms, function_of
from models.torch.task_network import TaskNetwork
from models.torch.torch_network import module_of


@dataclass(frozen=True)
class Distillation:
    """An objective with a teacher. In an evaluation the hard loss alone, so that it can be compared with that of a training
    without one; `always` in both."""

    hard: ObjectiveFunction
    teacher: TaskNetwork
    temperature: float
    soft_share: float
    label_smoothing: float = 0.0  # of the hard part
    always: bool = False

    def __call__(self, network: TaskNetwork, question: Question) -> Terms:
        if not (network.training or self.always):
            return self.hard(network, question)
        device = network.device
        inputs, places = tensors_of(question.inputs, device), tensor_of(question.places, device)
        mine = network.logits(inputs, places)
        with torch.no_grad():
            theirs = self.teacher.logits(inputs, places)
        t = self.temperature
        labels, smoothing = tensor_of(question.labels, device), self.label_smoothing if network.training else 0.0
        hard = cross_entropy(mine, labels, reduction="none", label_smoothing=smoothing)
        student, teacher = log_softmax(mine / t, -1), log_softmax(theirs / t, -1)
        soft = t * t * kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
        return Terms(self.soft_share * soft + (1 - self.soft_share) * hard, tensor_of(question.rows, device))


def distil(
    hard: Objective, teacher: Network, temperature: float, soft_share: float, label_smoothing: float, *, always: bool
) -> Distillation:
    """The objective of a training with a teacher, whose weights stay as they are."""
    module = module_of(teacher).eval().requires_grad_(False)
    return Distillation(function_of(hard), module, temperature, soft_share, label_smoothing, always)
