"""Distributions on the training path: torch's interface, noise from one place, closed-form divergences."""

import torch

# torch's AVX512 kernels of log1p and expm1 (softplus, too) read constants under a mask. As long as nothing has needed
# one, its page is not in memory, and the processor checks that anew each time: eight times slower, until this.
torch.log1p(torch.full((16,), -1.0))
