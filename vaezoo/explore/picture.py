"""Pictures as text that a page can show."""

import base64
from io import BytesIO

from PIL import Image
from torch import Tensor


def data_url(x: Tensor, value_range: tuple[float, float] = (0.0, 1.0)) -> str:
    """A picture ``[C, H, W]`` with C = 1 or 3 as the URL of a PNG, without enlarging it.

    Args:
        x: the picture.
        value_range: values shown as black and white; others are cut off.
    """
    low, high = value_range
    levels = ((x.detach().float().cpu() - low) / (high - low)).nan_to_num().clamp(0, 1).mul(255).round().byte()
    image = Image.fromarray(levels[0].numpy() if len(levels) == 1 else levels.permute(1, 2, 0).numpy())
    file = BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
