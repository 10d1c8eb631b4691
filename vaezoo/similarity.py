"""How alike two pictures look."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first
SIGMA = 1.5  # standard deviation of the window, pixels
STABILISERS = (0.01, 0.03)  # K_1 and K_2, shares of the range
COARSEST = 4  # least side of a picture at the coarsest scale
FLOOR = 1e-4  # of a mean similarity, which may be negative and has no real power there


def ms_ssim(x: Tensor, y: Tensor, span: float = 1.0, window: int = 11) -> Tensor:
    r"""Multi-scale structural similarity, at most 1, which identical pictures have.

    .. math:: l_S^{\beta_S} \prod_{s=1}^S \overline{cs}_s^{\,\beta_s},\quad
              cs = \frac{2\sigma_{xy} + c_2}{\sigma_x^2 + \sigma_y^2 + c_2},\quad
              l = \frac{2\mu_x\mu_y + c_1}{\mu_x^2 + \mu_y^2 + c_1}

    Moments are those of a Gaussian window around each position; at the coarsest scale the mean is that of l cs. Each
    scale halves the picture. There are five, or as many as leave a side of 4 pixels, with the exponents scaled to sum
    to 1 again; the window is at most the picture. The similarity of a scale is at least 1e-4.

    Args:
        x: pictures, ``[B, C, H, W]``.
        y: other pictures of the same shape.
        span: greatest difference of two values, > 0.
        window: largest side of the window, odd.

    Returns:
        ``[B]``, averaged over channels and positions.

    Source: Wang, Simoncelli and Bovik, Asilomar 2003, eq. 7, with their exponents.
    """
    c1, c2 = ((k * span) ** 2 for k in STABILISERS)
    (b, channels), side = x.shape[:2], min(x.shape[-2:])
    x, y = x.flatten(0, 1), y.flatten(0, 1)  # [BC, H, W]
    scales = max(s for s in range(1, len(EXPONENTS) + 1) if s == 1 or side // 2 ** (s - 1) >= COARSEST)
    exponents = torch.tensor(EXPONENTS[:scales], dtype=x.dtype, device=x.device)
    similarities = []
    for scale in range(scales):
        largest = (min(x.shape[-2:]) - 1) // 2 * 2 + 1  # odd
        mean_x, mean_y, xx, yy, xy = (blurred(each, min(window, largest)) for each in (x, y, x * x, y * y, x * y))
        similarity = (2 * (xy - mean_x * mean_y) + c2) / (xx - mean_x**2 + yy - mean_y**2 + c2)
        if scale == scales - 1:
            similarity = similarity * (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        similarities.append(similarity.mean((1, 2)).clamp(min=FLOOR))
        x, y = (avg_pool2d(each, 2) for each in (x, y))
    powers = torch.stack(similarities).pow((exponents / exponents.sum()).unsqueeze(1))  # [S, BC]
    return powers.prod(0).view(b, channels).mean(1)


def blurred(x: Tensor, side: int) -> Tensor:
    """Mean under a Gaussian window at each position where it fits, ``[N, H, W] -> [N, H - side + 1, W - side + 1]``.

    Not a convolution: those are rounded to 10 bits on GPUs and under autocast, and variances are small differences.
    """
    row = torch.arange(side, dtype=x.dtype, device=x.device) - (side - 1) / 2
    row = (-0.5 * (row / SIGMA) ** 2).exp()
    row = row / row.sum()
    for dim in (-2, -1):
        x = (x.unfold(dim, side, 1) * row).sum(-1)
    return x
