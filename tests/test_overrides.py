"""Words of a command line that cannot be read are refused in one line, as they were written."""

import pytest

import vaezoo
from vaezoo.errors import UsageError


@pytest.mark.parametrize("word", ["", "=1", "@x=1", "+=1", "~", "~=1"])
def test_a_word_without_a_key_says_so(word):
    with pytest.raises(UsageError, match=r"there is no key") as found:
        vaezoo.compose([word])
    assert repr(word) in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize("value", ["9" * 5000, f"[{'9' * 5000}]", f"-{'9' * 5000}"])
def test_an_integer_of_too_many_digits_is_an_error_of_the_user(value):
    with pytest.raises(UsageError, match=r"^cannot read 'seed=") as found:
        vaezoo.compose([f"seed={value}"])
    assert "\n" not in str(found.value) and len(str(found.value)) < 400


def test_a_run_has_one_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vaezoo.compose(["run_dir=a", f"hydra.run.dir={tmp_path / 'a'}"])  # as Lightning's DDP starts its processes
    with pytest.raises(UsageError, match=r"^hydra\.run\.dir=b and run_dir=a name two folders"):
        vaezoo.compose(["run_dir=a", "hydra.run.dir=b"])
