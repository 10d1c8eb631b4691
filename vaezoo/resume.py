"""Where a checkpoint continues: the loop state brought to one of two plain forms."""

from typing import Any


def canonical(checkpoint: dict[str, Any]) -> None:
    """Rewrites the loop state of a checkpoint as "epoch e, b batches trained" and nothing else, in place.

    Lightning keeps many counters of what had been started where a checkpoint was written, and continues differently
    from each mixture of them. Whatever the moment (after a batch, after a validation, at an epoch's end, in an
    exception), what has been *processed* is what the weights have seen; this sets every counter to agree with it. An
    epoch whose last batch has been trained continues at the start of the next one.
    """
    fit = checkpoint["loops"]["fit_loop"]
    epochs, batches = fit["epoch_progress"], fit["epoch_loop.batch_progress"]
    epoch, done = epochs["current"]["processed"], batches["current"]["processed"]
    if epochs["current"]["processed"] < epochs["current"]["started"] and batches["is_last_batch"]:
        epoch += 1
    fresh = epoch > epochs["current"]["completed"] or epochs["current"]["processed"] == epochs["current"]["started"]
    done = 0 if fresh else done
    for span in ("total", "current"):
        epochs[span].update(ready=epoch + (not fresh), started=epoch + (not fresh), processed=epoch, completed=epoch)
        trained = batches[span]["processed"] if span == "total" else done
        batches[span].update(ready=trained, started=trained, processed=trained, completed=trained)
    batches["is_last_batch"] = False
    steps = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    for counter in (steps["step"], steps["zero_grad"]):
        for span in counter.values():
            span.update({name: span["completed"] for name in span})
    manual = fit["epoch_loop.manual_optimization.optim_step_progress"]
    for span in manual.values():
        span.update({name: span["completed"] for name in span})
    fit["state_dict"]["combined_loader"] = [{"done": done}]
    if fresh:
        fit["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1  # the first turn of a fresh epoch adds one
    for name, part in fit.items():
        if ".val_loop." in name and isinstance(part, dict):
            _zero(part)


def _zero(progress: dict[str, Any]) -> None:
    for name, value in progress.items():
        if isinstance(value, dict):
            _zero(value)
        elif isinstance(value, bool):
            progress[name] = False
        elif isinstance(value, int):
            progress[name] = 0
