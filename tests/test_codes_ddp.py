"""Two processes with gloo move codebooks as one process does; imports little, for each process imports it anew."""

from functools import partial

import pytest
import torch
import torch.distributed.nn.functional
import torch.multiprocessing as multiprocessing

from vaezoo.distributions import noise
from vaezoo.networks.codebook import Codebook
from vaezoo.posteriors.lfq import LFQPosterior
from vaezoo.posteriors.product_vq import ProductVQPosterior
from vaezoo.posteriors.residual_vq import ResidualVQPosterior
from vaezoo.posteriors.vq import VQPosterior
from vaezoo.shapes import Shapes

VECTOR = Shapes(event=(1, 8, 8), latent=(4,), features=(5,))
QUANTIZERS = {
    "vq": partial(VQPosterior, codes=7),
    "vq, loss": partial(VQPosterior, codes=7, update="loss"),
    "vq, many dead": partial(VQPosterior, codes=90, decay=0.5),
    "residual": partial(ResidualVQPosterior, stages=3, codes=7),
    "product": partial(ProductVQPosterior, groups=2, codes=7),
    "lfq": partial(LFQPosterior, bits=5),
}


def follow(rank, world, folder):
    """Starts every quantizer and lets it follow four batches, of which each process has its share."""
    torch.set_num_threads(1)
    if world > 1:
        torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=world)
    found = {}
    for name, make in QUANTIZERS.items():
        torch.manual_seed(0)
        posterior = make(VECTOR)
        h = torch.randn(4, 40, 5)
        with noise.ranks(rank, world), noise.seeded(0):
            posterior.fit(h[0])
            for batch in h.chunk(world, 1)[rank]:
                q = posterior(batch)
                for book in posterior.modules():
                    if isinstance(book, Codebook):
                        book.move()
        found[name] = {**posterior.state_dict(), "coupled": q.penalties.get("mean_entropy", torch.zeros(())).detach()}
    torch.save(found, f"{folder}/{world}-{rank}.pt")


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    follow(0, 1, folder)
    multiprocessing.spawn(follow, (2, folder), nprocs=2)
    return [torch.load(folder / f"{name}.pt") for name in ("1-0", "2-0", "2-1")]


@pytest.mark.parametrize("name", QUANTIZERS)
def test_two_processes_have_the_codebook_of_one(followed, name):
    one, first, second = (outcome[name] for outcome in followed)
    for key in one:
        assert torch.equal(first[key], second[key]), f"{key} differs between the processes"
        torch.testing.assert_close(first[key], one[key], atol=1e-5, rtol=1e-5)
