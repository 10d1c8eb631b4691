"""What every variant keeps, as tests that anybody can run over a variant of theirs.

::

    python -m pytest --pyargs vaezoo.contract --variant my_variant

Without ``--variant`` every registered variant is tested; :func:`check_variant` runs the same tests inside another one.
All use the variant's default parts, made small, and a few of the embedded digits, on the CPU.
"""


def check_variant(variant: str) -> None:
    """Runs every test of the contract on one variant, for a test of your own package.

    Args:
        variant: its registered name.

    Raises:
        AssertionError: the variant breaks the contract.
    """
    import pytest  # here, for pytest imports this package in every session, to learn the option

    from vaezoo.contract import test_contract

    for name, check in vars(test_contract).items():
        if name.startswith("test_"):
            try:
                check(variant)
            except pytest.skip.Exception:
                continue
