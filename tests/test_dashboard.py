"""What the dashboard's page holds, and how it is served; no browser."""

import json
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from io import BytesIO

import pytest
from PIL import Image

from tests.many_runs import fill
from vaezoo import cli, runs
from vaezoo.dashboard import render, write
from vaezoo.dashboard.curves import LEAST, MOST, curves, points, rounded, thinned
from vaezoo.dashboard.server import Server, Watch
from vaezoo.dashboard.thumbnails import _encoded
from vaezoo.errors import UsageError


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """20 runs of 10 configurations; one of them failed."""
    place = tmp_path_factory.mktemp("sweep")
    fill(place, 10)
    return place


def read(place):
    return [runs.read(path) for path in runs.find(place)]


def embedded(page, name="data"):
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def page(sweep):
    return render(read(sweep), "a sweep")


def test_page_names_no_address_that_it_loads_from(page):
    assert not re.search(r"<link[^>]+href=(?!\"data:)|<script[^>]+src=|@import|url\(|<iframe|<img[^>]+src=", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "http" not in policy


def test_rows_are_configurations_with_one_value_per_run(page):
    data = embedded(page)
    names = [metric["name"] for metric in data["metrics"]]
    assert len(data["rows"]) == 10 and not {"train/loss", "val/loss", "loss"} & set(names)
    row = next(row for row in data["rows"] if row["variant"] == "vae")
    assert row["n"] == 2 and len(row["values"][names.index("nll")]) == 2


def test_failed_run_is_there_with_its_reason(page):
    failed = [run for row in embedded(page)["rows"] for run in row["runs"] if run[2] == "failed"]
    assert len(failed) == 1 and failed[0][3] == "RuntimeError: no memory <b>left</b>"


def test_codes_are_counted(page):
    row = next(row for row in embedded(page)["rows"] if row["variant"] == "vq_vae")
    assert row["codes"] == [["", 200, 400, 512]]


def test_text_of_runs_cannot_end_the_script(tmp_path):
    path = fill(tmp_path, 1, 1)[0]
    config = path / "config.yaml"
    config.write_text(config.read_text().replace("name: adam", "name: </script><script>alert(1)</script>"))
    text = render(read(tmp_path), "</title><script>alert(2)</script>")
    assert text.count("<script") == 3 and "alert(2)</script>" not in text and "<b>left" not in text


def test_groups_of_two_datasets_have_a_best_row_each(tmp_path):
    fill(tmp_path / "a", 2, 2)
    fill(tmp_path / "b", 2, 2, dataset="mnist")
    data = embedded(render(read(tmp_path), "two"))
    assert [group["dataset"] for group in data["groups"]] == ["digits", "mnist"]
    group_of = {row["key"]: row["group"] for row in data["rows"]}
    assert [group_of[group["best"]["nll"][0]] for group in data["groups"]] == [0, 1]
    assert {group_of[key] for key in data["first"]} == {0, 1}


def test_curves_keep_both_ends_and_no_more_points_than_fit(tmp_path):
    fill(tmp_path, 1, 1, epochs=300)
    records = read(tmp_path)
    assert points(records) == MOST and points(records * 20_000) == LEAST
    terms = {}
    found = curves(records[0], 10, terms)
    axis, values = found["y"][terms["val/distortion"]]
    assert len(values) == 10 and found["x"][axis][0] == 10 and found["x"][axis][-1] == 3000
    assert thinned([1, 2, 3], 3) == [1, 2, 3]


def test_numbers_have_five_digits_and_what_is_not_finite_is_null():
    numbers = (123.456789, 1e-7 / 3, 3.0, float("nan"), float("-inf"), None)
    assert [rounded(number) for number in numbers] == [123.46, 3.3333e-08, 3, None, None, None]


def test_pictures_stop_where_the_page_is_full(sweep, monkeypatch):
    records = read(sweep)
    every = embedded(render(records, ""), "thumbnails")
    assert len(every) == 10 and all(uri.startswith("data:image/webp") for uri in every[next(iter(every))].values())
    size = sum(len(uri) for uri in next(iter(every.values())).values())
    monkeypatch.setattr("vaezoo.dashboard.thumbnails.BYTES", 3 * size)
    some = embedded(render(records, ""), "thumbnails")
    assert 1 <= len(some) < 10 and len(json.dumps(some)) < 4.5 * size


def test_first_pictures_are_those_of_the_best_rows(sweep, monkeypatch):
    data = embedded(render(read(sweep), ""))
    monkeypatch.setattr("vaezoo.dashboard.thumbnails.BYTES", 60_000)
    kept = embedded(render(read(sweep), ""), "thumbnails")
    assert kept and set(kept) <= set(data["first"])


def test_wide_picture_is_made_narrower(tmp_path):
    file = tmp_path / "wide.png"
    Image.new("RGB", (1000, 500)).save(file)
    with Image.open(BytesIO(_encoded(file, 0, 320))) as small:
        assert small.size == (320, 160)


def test_one_run_makes_a_page(tmp_path):
    path = fill(tmp_path, 1, 1)[0]
    line = write([path], tmp_path / "page.html")
    assert line.startswith(str(tmp_path / "page.html")) and "(1 runs" in line
    assert embedded((tmp_path / "page.html").read_text())["title"] == path.name


def test_place_without_runs_and_folder_as_file_are_told_in_one_line(tmp_path, capsys):
    assert cli.main(["dashboard", str(tmp_path)]) == 2
    assert "no run below" in capsys.readouterr().err
    with pytest.raises(UsageError, match="must be a file"):
        write([tmp_path], tmp_path)


def test_help_and_page_need_no_torch(sweep, tmp_path):
    code = "import sys; from vaezoo import cli; cli.main(sys.argv[1:]); assert 'torch' not in sys.modules"
    out = tmp_path / "page.html"
    subprocess.run([sys.executable, "-c", code, "dashboard", str(sweep), "--out", str(out)], check=True)
    assert out.is_file()


@contextmanager
def served(place):
    with Server(Watch([place])) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def get(server, path, **headers):
    with urllib.request.urlopen(urllib.request.Request(server.url + path, headers=headers)) as answer:
        return answer.read().decode()


def test_version_changes_when_a_run_does_and_only_then(tmp_path, monkeypatch):
    monkeypatch.setattr("vaezoo.dashboard.server.REST", -1.0)
    path = fill(tmp_path, 2, 1)[0]
    with served(tmp_path) as server:
        assert embedded(get(server, ""))["live"] == get(server, "version") == get(server, "version")
        before = get(server, "version")
        (path / "run.json").write_text(json.dumps({"status": "failed", "reason": "it did"}))
        assert get(server, "version") != before
        states = [run[2:] for row in json.loads(get(server, "data.json"))["rows"] for run in row["runs"]]
        assert ["failed", "it did"] in states
        assert set(json.loads(get(server, "pictures.json"))) <= {
            row["key"] for row in embedded(get(server, ""))["rows"]
        }


def test_server_answers_its_own_names_and_addresses_only(tmp_path):
    fill(tmp_path, 1, 1)
    with served(tmp_path) as server:
        assert server.server_address[0] == "127.0.0.1"
        for path, headers, code in (("", {"Host": "evil.example"}, 403), ("../etc/passwd", {}, 404)):
            with pytest.raises(urllib.error.HTTPError) as refused:
                get(server, path, **headers)
            assert refused.value.code == code
        with pytest.raises(UsageError, match="cannot be used"):
            Server(Watch([tmp_path]), server.server_port)
