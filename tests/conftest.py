"""What several test files share."""

import logging
import os
import socket
import warnings
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer

from vaezoo.data.datamodule import DataModule

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--fuzz N``: the number of random command lines of test_fuzz.py."""
    parser.addoption("--fuzz", type=int, default=60, dest="fuzz", help="random command lines to try (default: 60)")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real datasets: VAEZOO_DATA, or ``shared/data`` beside the checkout; skips where there is none."""
    given = os.environ.get("VAEZOO_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "MNIST").is_dir():
        pytest.skip("real data are absent: set VAEZOO_DATA to a folder with MNIST in torchvision's layout")
    return folder


@pytest.fixture(scope="session")
def digits() -> DataModule:
    """The embedded digits, set up."""
    data = DataModule("digits", batch_size=200, val_size=200)
    data.setup()
    return data


def quick_trainer(**options) -> Trainer:
    """A Trainer on the CPU that writes nothing unless told to."""
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    fixed = {"accelerator": "cpu", "devices": 1, "use_distributed_sampler": False, "inference_mode": False}
    return Trainer(**{**quiet, **fixed, "num_sanity_val_steps": 0, "max_epochs": 1, **options})


def free_port() -> int:
    """A port where the processes of one test can meet, while other tests run processes of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
