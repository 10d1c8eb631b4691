"""What a page says about each variant: family, paper, colour and the text of `vaezoo show`."""

from collections.abc import Iterable
from typing import Any

from vaezoo import colours, describe, registry
from vaezoo.errors import UsageError


def cards(variants: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A card for each variant; one that is not installed here has a colour and nothing else."""
    return {name: {"colour": colours.colour(name), **_card(name)} for name in sorted(set(variants))}


def _card(name: str) -> dict[str, Any]:
    try:
        card = registry.card("variant", name)
        text = describe.page(f"variant={name}")
    except UsageError as reason:
        return {"family": "", "paper": "", "url": "", "status": "", "text": str(reason)}
    url = card.url if card.url.startswith(("https://", "http://")) else ""
    return {"family": card.family, "paper": card.paper, "url": url, "status": card.status, "text": text}
