"""The explorer's page in a real browser; skipped where none is installed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch

from tests.browser import OVERFLOW, faults, launched
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.explore.explorer import Explorer
from vaezoo.explore.server import Server
from vaezoo.networks import conv
from vaezoo.posteriors.vq import VQPosterior
from vaezoo.priors.pixelcnn import PixelCNNPrior
from vaezoo.variants.cvae import CVAE
from vaezoo.variants.vae import VAE
from vaezoo.variants.vq_vae_2 import VQVAE2

OVERLAPS = """() => {
  const own = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const texts = [...document.querySelectorAll("main *, header *")].filter((e) => e.checkVisibility() && own(e));
  const boxes = texts.map((e) => {
    const range = document.createRange();
    range.selectNodeContents(e);
    return [e, range.getBoundingClientRect()];
  });
  const meet = (p, q) => p.left < q.right - 2 && q.left < p.right - 2 && p.top < q.bottom - 3 && q.top < p.bottom - 3;
  return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) => !a.contains(b) && meet(p, q))
    .map(([b]) => `${a.textContent} over ${b.textContent}`));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def servers(digits: DataModule) -> Iterator[dict[str, Server]]:
    """Pages of small untrained models."""
    networks = {"encoder": partial(conv.Encoder, channels=[8]), "decoder": partial(conv.Decoder, channels=[8])}
    codes = {"posterior": partial(VQPosterior, codes=32), "prior": partial(PixelCNNPrior, channels=8, layers=2)}
    with noise.seeded(0):
        models: dict[str, Any] = {
            "vae": VAE(shapes=digits.shapes((3,))),
            "cvae": CVAE(shapes=digits.shapes((3,))),
            "vq_vae_2": VQVAE2(shapes=digits.shapes((4, 4, 4)), **networks, **codes),
        }
    with torch.no_grad():
        for name in ("vae", "cvae"):
            models[name].posterior.head.weight *= 20  # so that all dimensions are in use
    facts = {"dataset": "digits", "likelihood": "gaussian", "paper": "a paper", "url": "https://example.org/paper"}
    found = {
        name: Server(Explorer(model, digits, {"run": f"{name}-run", "variant": name, **facts}))
        for name, model in models.items()
    }
    for server in found.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    for server in found.values():
        server.shutdown()
        server.server_close()


@contextmanager
def opened(browser: Any, server: Server, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """The page; it must ask nobody else for anything, and complain about nothing."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, asked, complaints = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    page.wait_for_selector("#decoded[src]")
    yield page
    assert complaints == []
    assert page.locator("#said").text_content() == ""
    assert [url for url in asked if not url.startswith((server.url, "data:"))] == []
    context.close()


def changes(page: Any, selector: str, before: str) -> str:
    """The source of a picture once it is another than before."""
    page.wait_for_selector(f'{selector}[src]:not([src="{before}"])')
    return page.get_attribute(selector, "src")


def test_a_slider_moved_by_keyboard_changes_the_picture_and_undo_brings_it_back(browser, servers) -> None:
    with opened(browser, servers["vae"]) as page:
        assert page.title() == "vae-run · explore · vaezoo" and page.locator(".dimension").count() == 3
        before = page.get_attribute("#decoded", "src")
        slider = page.locator(".dimension input").first
        slider.focus()
        value = slider.input_value()
        page.keyboard.press("End")
        changed = changes(page, "#decoded", before)
        assert slider.input_value() != value
        page.click("#back")
        assert changes(page, "#decoded", changed) == before and slider.input_value() == value
        page.click("#draw")
        assert changes(page, "#decoded", before) and page.locator("#original").is_hidden()


def test_two_examples_give_a_row_between_their_reconstructions(browser, servers) -> None:
    with opened(browser, servers["vae"]) as page:
        page.locator("#ends button").nth(0).click()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.wait_for_selector("#path figure")
        row = [image.get_attribute("src") for image in page.locator("#path img").all()]
        assert row[0] == page.get_attribute("#decoded", "src") and len(set(row)) > 2
        page.locator("#starts button").nth(2).click()
        assert changes(page, "#decoded", row[0]) == row[-1]


def test_the_label_switch_starts_at_the_own_label(browser, servers) -> None:
    with opened(browser, servers["cvae"]) as page:
        own = int(servers["cvae"].explorer.examples.split[0:1].y[0])
        assert page.locator("#labels input:checked").get_attribute("value") == str(own)
        before = page.get_attribute("#decoded", "src")
        page.check(f"#labels input[value='{(own + 1) % 10}']", force=True)
        changes(page, "#decoded", before)


def test_a_changed_code_changes_the_picture(browser, servers) -> None:
    with opened(browser, servers["vq_vae_2"]) as page:
        page.wait_for_selector("#usage svg rect")
        assert page.locator(".map").count() == 2 and page.locator("#usage svg").count() == 2
        assert "nothing between" in page.locator("#interpolate-lead").text_content()
        before = page.get_attribute("#decoded", "src")
        page.locator(".map").first.locator("button").nth(1).click()
        page.wait_for_selector(".option")
        code = int(page.locator("#code").input_value())
        page.fill("#code", str((code + 1) % 32))
        changed = changes(page, "#decoded", before)
        assert page.locator(".cell.changed").count() == 1
        page.click("#back")
        assert changes(page, "#decoded", changed) == before


@pytest.mark.parametrize(
    "name, width, scheme", [("cvae", 1280, "light"), ("vae", 390, "dark"), ("vq_vae_2", 390, "light")]
)
def test_nothing_overlaps_overflows_or_keeps_people_out(browser, servers, name: str, width: int, scheme: str) -> None:
    with opened(browser, servers[name], width, scheme) as page:
        page.click("#look")
        page.wait_for_selector(".card")
        assert page.locator(".card").count() == 8
        if name == "vq_vae_2":
            page.locator(".cell").first.click()
            page.wait_for_selector(".option")
        else:
            for i in (0, 3):
                page.locator("#ends button").nth(i).click()
            page.wait_for_selector("#path figure")
        page.evaluate("() => window.scrollTo({top: 0, behavior: 'instant'})")  # where what is sticky covers nothing
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(OVERLAPS) == []
        assert faults(page) == []
