"""Whatever is written on a command line, it is accepted, or refused in one line that names what is wrong."""

from collections import Counter

import pytest

from tests.fuzzing import OUTCOMES, Case, cases, outcome

SEED = 1


@pytest.fixture
def number(request):
    """How many cases: ``--fuzz N``."""
    return request.config.getoption("fuzz")


def test_no_command_line_ends_in_a_traceback_or_is_accepted_though_wrong(number, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [(case, *outcome(case, digits)) for case in cases(number, SEED)]
    counts = Counter(kind for _, kind, _ in found)
    print({kind: counts[kind] for kind in OUTCOMES})
    faults = [
        f"{kind}: {[word[:80] for word in case.words]} {case.experiment or ''} {message[:300]}"
        for case, kind, message in found
        if kind not in ("accepted", "refused")
    ]
    assert not faults, "\n".join(faults)
    assert counts["accepted"] >= number // 20 and counts["refused"] >= number // 3


def test_an_outcome_is_what_it_says(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound, wrong = ("train", "seed=1"), ("train", "seed=-1")
    assert outcome(Case(sound, wrong=False), digits) == ("accepted", "")
    assert outcome(Case(sound, wrong=True), digits)[0] == "silent"
    assert outcome(Case(wrong, wrong=True, key="seed"), digits)[0] == "refused"
    assert outcome(Case(wrong, wrong=True, key="latent"), digits)[0] == "unnamed"
    monkeypatch.setattr("tests.fuzzing.build", lambda *_: 1 / 0)
    assert outcome(Case(sound, wrong=False), digits)[0] == "traceback"
