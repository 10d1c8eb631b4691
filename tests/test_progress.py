"""How a training and its evaluation say where they are: a bar in a terminal, a line per epoch elsewhere."""

import re
import sys

import pytest

from tests.conftest import quick_trainer
from vaezoo import configs
from vaezoo.callbacks.progress import EpochLines, Progress, progress
from vaezoo.train import train

TINY = ["encoder.hidden=[8]", "decoder.hidden=[8]", "latent=2", "callbacks=none", "trainer.limit_train_batches=3"]


def test_a_log_file_gets_one_line_per_epoch(tmp_path, capfd):
    config = configs.compose([*TINY, "trainer.max_epochs=3", "evaluate.k=1", f"run_dir={tmp_path}"])
    train(config)
    out, error = capfd.readouterr()
    lines = error.splitlines()
    assert len(lines) == 3 and "\r" not in error and out == ""
    for number, line in enumerate(lines, 1):
        assert re.match(rf"epoch {number}/3, \d+ s, val/elbo -\d+", line) and "val/rate" in line


@pytest.mark.parametrize(("terminal", "kind"), [(True, Progress), (False, EpochLines)])
def test_a_bar_is_for_terminals(monkeypatch, terminal, kind):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert type(progress()) is kind


def test_lines_can_be_switched_off_as_lightning_does_on_other_processes(capsys):
    lines = EpochLines()
    lines.disable()
    trainer = quick_trainer()
    lines.on_train_epoch_end(trainer, None)
    assert capsys.readouterr().err == ""
    lines.enable()
    lines.on_train_epoch_end(trainer, None)
    assert capsys.readouterr().err == "epoch 1/1, 0 s\n"
