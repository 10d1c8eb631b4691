"""Times a training step of the codebook against that of vector-quantize-pytorch, in turns, on the same vectors.

Both find the nearest of K vectors, pass gradients straight through, penalise the commitment, follow with running means
and revive dead codes. The last line is one JSON object: ratio = their median time / ours, with the range of its rounds.

    python scripts/bench_codebook.py [--batch 128] [--positions 64] [--size 64] [--codes 512] [--rounds 30]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from vaezoo.distributions.codes import Codes
from vaezoo.networks.codebook import Codebook

try:
    from vector_quantize_pytorch import VectorQuantize
except ImportError:
    VectorQuantize = None

Step = Callable[[Tensor], None]
BETA = 0.25


def ours(size: int, codes: int, device: str) -> Step:
    book = Codebook(codes, size).to(device)

    def step(v: Tensor) -> None:
        chosen = book(v)
        e = book.look_up(chosen)
        penalties = book.penalties(v, e)
        out = Codes(chosen, e, v, penalties).rsample()
        (out.square().sum() + BETA * penalties["commitment"].sum()).backward()
        book.move()

    return step


def theirs(size: int, codes: int, device: str) -> Step:
    shared = {"decay": 0.99, "commitment_weight": BETA, "threshold_ema_dead_code": 1, "rotation_trick": False}
    layer = VectorQuantize(dim=size, codebook_size=codes, **shared).to(device)

    def step(v: Tensor) -> None:
        out, _, commitment = layer(v)
        (out.square().sum() + commitment.sum()).backward()

    return step


def seconds(step: Step, v: Tensor) -> float:
    v.grad = None
    begin = time.perf_counter()
    step(v)
    if v.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"batch": 128, "positions": 64, "size": 64, "codes": 512, "rounds": 30, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if VectorQuantize is None:
        sys.exit("vector-quantize-pytorch is not installed: pip install vector-quantize-pytorch")
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    steps = [make(given.size, given.codes, given.device) for make in (ours, theirs)]
    batches = torch.randn(4, given.batch, given.positions, given.size, device=given.device)
    pairs = []
    for k in range(given.rounds + 5):
        v = batches[k % len(batches)].clone().requires_grad_()
        order = steps if k % 2 else steps[::-1]
        timed = {step: seconds(step, v) for step in order}
        pairs.append([timed[step] for step in steps])
    pairs = pairs[5:]  # the first ones warm up
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(b / a for a, b in pairs)
    report = {
        "ratio": round(other / mine, 2),
        "lowest": round(ratios[len(ratios) // 10], 2),
        "highest": round(ratios[-1 - len(ratios) // 10], 2),
        "ours_ms": round(1e3 * mine, 3),
        "theirs_ms": round(1e3 * other, 3),
    }
    print(json.dumps({**report, **vars(given)}))


if __name__ == "__main__":
    main()
