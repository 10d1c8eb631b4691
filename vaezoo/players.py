"""One batch of a stage with several players: each one's loss moves its own modules only."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vaezoo.batch import Batch
from vaezoo.programme import Update

if TYPE_CHECKING:
    from vaezoo.variant import Variant

Player = tuple[Update, Any]  # with its optimizer


def play(model: "Variant", batch: Batch) -> None:
    """The updates of the present stage on one batch, all from one pass if they share it."""
    wrapped: Any = model.optimizers(use_pl_optimizer=True)
    players = list(zip(model.stage.updates, wrapped if isinstance(wrapped, list) else [wrapped], strict=True))
    if model.stage.shared is None:
        play_in_turn(model, players, batch)
    else:
        play_at_once(model, players, model.stage.shared(batch))


def play_in_turn(model: "Variant", players: Sequence[Player], batch: Batch) -> None:
    """A pass and a step of each player, who sees the steps of those before."""
    everything = [parameter for update, _ in players for parameter in update.parameters]
    for update, optimizer in players:
        own = {id(parameter) for parameter in update.parameters}
        for parameter in everything:
            parameter.requires_grad_(id(parameter) in own)
        for _ in range(update.repeats):
            terms = update.terms(batch)
            if terms is not None:
                loss = terms.loss
                model.meters.train(terms, loss, prefix=f"{update.name}/")
                optimizer.zero_grad()
                model.manual_backward(loss)
                optimizer.step()
    for parameter in everything:
        parameter.requires_grad_(True)


def play_at_once(model: "Variant", players: Sequence[Player], seen: Any) -> None:
    """The gradients of all players from one pass, then their steps: nobody sees a step of this batch."""
    alone: Any = getattr(model.trainer.model, "no_sync", nullcontext)  # DDP waits for all gradients; here some are had
    for _, optimizer in players:
        optimizer.zero_grad()
    stepping = []
    for update, optimizer in players:
        terms = update.terms(seen)
        if terms is None:
            continue
        loss, own = terms.loss, [parameter for parameter in update.parameters if parameter.requires_grad]
        model.meters.train(terms, loss, prefix=f"{update.name}/")
        with alone():
            model.manual_backward(loss, inputs=own, retain_graph=True)
        if model.trainer.world_size > 1:
            average_gradients(own)
        stepping.append(optimizer)
    for optimizer in stepping:
        optimizer.step()


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over all processes, which have gradients of the same parameters."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
