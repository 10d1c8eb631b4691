"""The packages that launchers and sweepers come from."""

from vaezoo.errors import UsageError

EXTRAS = {
    "hydra/launcher/joblib": "sweep",
    "hydra/launcher/submitit_slurm": "sweep",
    "hydra/launcher/submitit_local": "sweep",
    "hydra/launcher/ray": "ray",
    "hydra/launcher/ray_aws": "ray",
    "hydra/sweeper/optuna": "optuna",
}


def check_plugin(option: str | None) -> None:
    """Whether an option that Hydra did not find comes with one of our extras.

    Args:
        option: e.g. ``hydra/launcher/ray``.

    Raises:
        UsageError: it does; the message has the command that installs it.
    """
    if option in EXTRAS:
        group, _, name = option.rpartition("/")
        raise UsageError(f"{group}={name} needs a package that is missing: pip install 'vaezoo[{EXTRAS[option]}]'")
