"""Distributions on the training path: torch's interface, noise from one place, closed-form divergences."""

import torch

# torch's AVX512 kernels of log1p and expm1, and so softplus, read a constant only where the argument is -0. As long as
# it never was, its page is not in memory, and the read, though masked, is slow: the kernel takes five times as long.
torch.log1p(torch.full((16,), -0.0))
