"""The dashboard's page in a real browser; skipped where none is installed."""

import json
import threading
from contextlib import contextmanager

import pytest

from tests.browser import OVERFLOW, OVERLAPS, everything, faults, launched
from tests.many_runs import fill
from tests.synthetic import synthetic_run
from vaezoo.dashboard import write
from vaezoo.dashboard.server import Server, Watch

WIDE, NARROW = 1280, 390


@pytest.fixture(scope="module")
def browser():
    with launched() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page over 64 runs of 32 configurations on two datasets."""
    place = tmp_path_factory.mktemp("runs")
    fill(place / "digits", 30)
    fill(place / "mnist", 2, dataset="mnist")
    write([place], place / "page.html")
    return (place / "page.html").as_uri()


@contextmanager
def opened(browser, address, width=WIDE, scheme="light"):
    """The page; it must ask nobody else for anything, and complain about nothing."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, asked, complaints = context.new_page(), [], []
    here = address.split("/page.html")[0]
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.route(lambda url: not url.startswith((here, "data:")), lambda route: route.abort())
    page.goto(address)
    page.wait_for_selector("#leaderboard table")
    yield page
    assert complaints == []
    assert [url for url in asked if not url.startswith((here, "data:"))] == []
    context.close()


@pytest.fixture
def page(browser, address):
    with opened(browser, address) as shown:
        yield shown


def labels(page):
    return page.locator("#leaderboard tr[data-key] button.name").all_inner_texts()


def column(page, number, group=1):
    cells = page.locator(
        f"#leaderboard tbody:nth-of-type({group}) tr[data-key] td:nth-child({number})"
    ).all_inner_texts()
    return [float(cell.split()[0].replace("−", "-").replace(",", "")) for cell in cells if cell != "–"]


def choose(page, *names):
    page.get_by_role("button", name="Clear").click()
    for name in names:
        page.get_by_label("Filter rows by text").fill(name)
        page.locator("#leaderboard tr[data-key] input").first.check()
    page.get_by_label("Filter rows by text").fill("")


def test_header_sorts_each_group_and_says_which_way(page):
    header = page.get_by_role("columnheader", name="ELBO")
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, 5) == sorted(column(page, 5), reverse=True) and len(column(page, 5)) > 10
    header.get_by_role("button").press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(page, 5) == sorted(column(page, 5))
    assert page.locator("th[aria-sort=ascending], th[aria-sort=descending]").count() == 1


def test_text_and_menus_filter_rows(page):
    page.get_by_label("Filter rows by text").fill("beta lr=0.003")
    assert labels(page) and all("beta_vae" in label and "lr=0.003" in label for label in labels(page))
    page.get_by_label("Filter rows by text").fill("")
    page.get_by_role("combobox", name="Data").select_option("mnist")
    assert len(labels(page)) == 2
    page.get_by_role("combobox", name="Data").select_option("")
    page.get_by_role("combobox", name="State").select_option("failed")
    assert page.locator("#leaderboard .flag", has_text="failed").count() == len(labels(page)) == 3
    page.get_by_label("Filter rows by text").fill("no such thing")
    assert labels(page) == [] and page.get_by_text("No row passes the filters").is_visible()


def test_two_selected_rows_show_both_curves_and_both_pictures(page):
    choose(page, "beta_vae", "iwae")
    everything(page)
    keys = page.locator("#leaderboard tr.chosen").evaluate_all("(rows) => rows.map((row) => row.dataset.key)")
    drawn = page.locator("#curves path[data-row]").evaluate_all("(all) => all.map((path) => path.dataset.row)")
    assert len(keys) == 2 and set(drawn) == set(keys) and len(drawn) == 4  # two seeds each
    for kind in ("Reconstructions", "Samples", "Traversals"):
        page.get_by_role("radio", name=kind).check()
        shown = page.locator("#pictures figure img")
        assert shown.count() == 2
        assert all(shown.evaluate_all("(all) => all.map((image) => image.complete && image.naturalWidth > 0)"))
    assert page.locator("#chips li").count() == page.locator("#dimensions .multiples > div").count() == 2
    assert page.locator("#plane .dot:not(.faint)").count() == 2
    assert page.locator("#differences td code", has_text="beta_vae").count() == 1


def test_headings_clear_the_selection_and_pictures_are_near_the_top(page):
    everything(page)
    for name in ("Pictures", "Curves", "Dimensions"):
        page.get_by_label("Panels").get_by_role("link", name=name).click()
        page.wait_for_timeout(700)  # smooth scrolling
        bar, title = (page.locator(what).bounding_box() for what in ("#selection", f"#{name.lower()} h2"))
        assert bar["y"] == 0 and bar["height"] <= title["y"] < 900
    assert page.evaluate("() => document.getElementById('pictures').offsetTop") < 2_000


def test_arrows_say_which_end_is_better_whatever_the_order(page):
    heads = page.locator("#leaderboard thead th button span").all_inner_texts()
    assert [head for head in heads if head[-1] in "↓↑"] == [head.strip() for head in heads if head[-1] in "↓↑"]
    assert next(head for head in heads if head.startswith("NLL"))[-1] == "↓"
    page.get_by_role("columnheader", name="NLL").get_by_role("button").click()
    assert next(head for head in heads if head.startswith("ELBO"))[-1] == "↑"


def test_what_is_distrusted_broken_or_half_measured_says_so(browser, tmp_path):
    for seed, flags in enumerate((["all samples are equal"], [])):
        synthetic_run(tmp_path / f"g{seed}", "vae_gan", seed, likelihood="gaussian", results={"flags": flags})
        synthetic_run(tmp_path / f"v{seed}", "vae", seed)
        synthetic_run(tmp_path / f"i{seed}", "iwae", seed)
    (tmp_path / "i1" / "results.json").unlink()
    (tmp_path / "v1" / "results.json").write_text("")
    write([tmp_path], tmp_path / "page.html")
    with opened(browser, (tmp_path / "page.html").as_uri()) as page:
        flags = page.locator("#leaderboard .flag").all_inner_texts()
        assert sorted(flags) == [
            "1 of 2 broken",
            "1 of 2 finished seeds not evaluated",
            "all samples are equal (1 of 2)",
        ]
        assert page.locator("#leaderboard td", has_text="n=1").count() > 3
        everything(page)
        assert page.locator("#jobs", has_text="results.json: it is empty").count() == 1
        captions = page.locator("#pictures figcaption").all_inner_texts()
        assert len(captions) == 3 and all("squared error" in caption for caption in captions)
        assert sum("gaussian" in caption for caption in captions) == 1
        assert faults(page) == []


def test_selection_survives_a_reload_and_can_be_undone(page):
    choose(page, "vq_vae")
    page.reload()
    page.wait_for_selector("#leaderboard table")
    assert [text.split()[0] for text in page.locator("#chips li").all_inner_texts()] == ["vq_vae"]
    everything(page)
    assert page.locator("#codes td", has_text="400 (78 %)").count() == 1
    page.get_by_role("button", name="Remove vq_vae").click()
    assert page.get_by_text("No row is selected").is_visible()
    page.get_by_role("button", name="Best of each group").click()
    assert page.locator("#chips li").count() == 6


def test_name_of_a_row_opens_its_card_and_escape_closes_it(page):
    page.get_by_label("Filter rows by text").fill("autoencoder")
    page.get_by_role("button", name="autoencoder lr").first.click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("link").first.get_attribute("href").startswith("https://")
    assert "no prior: a deterministic autoencoder defines no p(x)" in dialog.inner_text()
    assert "variant=autoencoder" in dialog.inner_text()
    assert faults(page) == []
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_failed_runs_are_listed_with_their_reasons_as_text(page):
    everything(page)
    assert page.locator("#jobs tbody tr").count() == 3
    assert page.locator("#jobs", has_text="no memory <b>left</b>").count() == 1


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_page_keeps_nobody_out_and_no_text_overlaps(browser, address, width, scheme):
    with opened(browser, address, width, scheme) as page:
        everything(page)
        assert page.locator("svg text").count() > 50
        assert faults(page) == []
        assert page.evaluate(OVERLAPS) == []
        assert page.evaluate(OVERFLOW) == 0


def test_theme_can_be_chosen_against_the_system(page):
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Theme: auto").click()
    assert page.evaluate(background) == light
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(background) != light


def test_served_page_shows_new_runs_and_keeps_the_selection(browser, tmp_path, monkeypatch):
    monkeypatch.setattr("vaezoo.dashboard.server.REST", -1.0)
    fill(tmp_path, 4, 1)
    with Server(Watch([tmp_path])) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        with opened(browser, server.url) as page:
            choose(page, "iwae")
            synthetic_run(tmp_path / "new", "dip_vae", results={"nll": 1.0})
            page.get_by_text("5 runs in 5 configurations").wait_for(timeout=15_000)
            assert labels(page)[0] == "dip_vae"
            assert [text.split()[0] for text in page.locator("#chips li").all_inner_texts()] == ["iwae"]
        server.shutdown()


def test_what_the_page_embeds_is_what_it_shows(page, address):
    data = json.loads(page.locator("#data").inner_text())
    page.get_by_role("button", name="All").first.click()
    assert len(labels(page)) == len(data["rows"]) == 32
