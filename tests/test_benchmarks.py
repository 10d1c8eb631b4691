"""The benchmark runs and reports what it promises; its numbers are not judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
KEYS = {
    "vs_loop",
    "vs_pythae",
    "vs_torchvision_loader",
    "conv_vs_loop",
    "step_overhead_us",
    "vs_barebones",
    "iw_vs_naive",
    "help_seconds",
    "list_seconds",
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "bench_training.py"), *arguments]
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)


@pytest.mark.slow
def test_last_line_holds_every_key(real_data):
    done = bench("--quick", "--data", str(real_data))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == KEYS
    optional = {"vs_pythae"} if found["vs_pythae"] is None else set()
    assert all(found[key] > 0 for key in KEYS - optional - {"step_overhead_us"})
    assert found["step_overhead_us"] is not None


@pytest.mark.slow
def test_only_some_and_unknown_keys(real_data):
    done = bench("--quick", "--data", str(real_data), "--only", "vs_loop")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {key for key, value in found.items() if value is not None} == {"vs_loop"}
    refused = bench("--only", "speed")
    assert refused.returncode == 2 and "speed" in refused.stderr
