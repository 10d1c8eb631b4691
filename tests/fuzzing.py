"""Random command lines, sound and broken ones, and what becomes of them."""

import contextlib
import io
import random
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import vaezoo
from vaezoo import choices, cli, registry, settings
from vaezoo.build import build, latent_shape
from vaezoo.data.datamodule import DataModule
from vaezoo.describe import REQUIRED, signature
from vaezoo.errors import UsageError

NEVER = ("nan", "inf", "-inf", "1e999", str(10**400))  # values that no option takes, whatever its type
ODD = (
    "''",
    "null",
    "[]",
    "{}",
    "[1,[2]]",
    "{a:1}",
    "true",
    "é",
    "'a b'",
    "-1",
    "0",
    "1.5",
    str(10**12),
    "a'b",
    "${nope}",
)
BROKEN_YAML = (
    b"latent:\t5\n",
    b"latent: [5\n",
    b"latent: 5\nlatent: 6\n",
    b"latent: \xe9\n",
    b"a: &a {b: *a}\n",
    b"- 3\n",
)
WRONG_YAML = (b"latnet: 5\n", b"optimizer:\n  lrr: 1\n", b"latent: .nan\n", b"latent: ${latent}\n", b"seed: -1\n")
SOUND_YAML = (b"latent: 5\n", b"\xef\xbb\xbflatent: 5\n", b"# @package _global_\nseed: 3\n", b"")
WORDS = ("nowhere", "", "-1", "é", "a\0b", "x" * 300, "vae", "status", "beta", "conf", "1", "nan")
COMMANDS = (
    "list",
    "show",
    "evaluate",
    "sample",
    "table",
    "dashboard",
    "figure",
    "sweep",
    "new",
    "completion",
    "complete",
)
NEED_FILES = ("custom", "pretrained")
SOUND = (
    "seed=3",
    "latent=4",
    "optimizer.lr=0.01",
    "encoder.hidden=[8]",
    "trainer=debug",
    "hardware=cpu",
    "logger=none",
)
FLAGS = ("--group", "--k", "--format", "--kind", "--limit", "--samplr", "-x", "--port", "--threads", "--seed", "-n")
OUTCOMES = ("accepted", "refused", "unnamed", "traceback", "silent")


@dataclass(frozen=True)
class Case:
    """One command line.

    Args:
        words: what follows ``vaezoo``.
        wrong: it holds something that can never be right.
        key: what a refusal has to name; an empty string where the whole line is wrong.
        experiment: content of ``conf/experiment/x.yaml`` in the working folder.
    """

    words: tuple[str, ...]
    wrong: bool
    key: str = ""
    experiment: bytes | None = None


def cases(n: int, seed: int) -> list[Case]:
    """The first ``n`` of an endless series."""
    draw = random.Random(seed)
    kinds: tuple[Callable[[random.Random], Case], ...] = (
        _sound,
        _value,
        _value,
        _never,
        _never,
        _key,
        _group,
        _yaml,
        _command,
    )
    return [draw.choice(kinds)(draw) for _ in range(n)]


def outcome(case: Case, data: DataModule) -> tuple[str, str]:
    """Class of ``OUTCOMES`` and the message; the caller is in a folder of its own."""
    file = Path("conf", "experiment", "x.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    if case.experiment is not None:
        file.write_bytes(case.experiment)
    try:
        message = _train(case.words[1:], data) if case.words[0] == "train" else _run(case.words)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    if not message:
        return ("silent" if case.wrong else "accepted"), ""
    named = any(word in message for word in (case.key, *case.words[1:]))  # a choice may be wrong as well
    return ("refused" if named and "\n" not in message.strip() else "unnamed"), message


def _train(words: tuple[str, ...], data: DataModule) -> str:
    try:
        config = vaezoo.compose(words)
        if config.choices.dataset == "digits":
            build(config, data.shapes(latent_shape(config.latent)))
    except UsageError as error:
        return str(error)
    return ""


def _run(words: tuple[str, ...]) -> str:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(words)
        except SystemExit as stop:
            code = stop.code
    if code not in (0, 2):
        raise AssertionError(f"exit code {code}: {err.getvalue()}")
    return err.getvalue() if code else ""


# -- kinds of cases ----------------------------------------------------------------------------------------------------


def _keys(draw: random.Random) -> tuple[list[str], str]:
    """An option that there is, and the choice that it needs."""
    block = draw.choice((*settings.SCHEMAS, *registry.GROUPS, "top"))
    if block in registry.GROUPS:
        name = draw.choice(registry.names(block))
        if name not in NEED_FILES and (
            names := [key for key, _, default in signature(block, name) if default != REQUIRED]
        ):
            return [f"{block}={name}"], f"{block}.{draw.choice(names)}"
        block = "top"
    schema = settings.Top if block == "top" else settings.SCHEMAS[block]
    key = draw.choice([field.name for field in fields(schema)])
    return [], key if block == "top" else f"{block}.{key}"


def _sound(draw: random.Random) -> Case:
    return Case(("train", f"variant={draw.choice(registry.names('variant'))}", draw.choice(SOUND)), wrong=False)


def _value(draw: random.Random) -> Case:
    chosen, key = _keys(draw)
    return Case(("train", *chosen, f"{key}={draw.choice(ODD)}"), wrong=False, key=key.rpartition(".")[2])


def _never(draw: random.Random) -> Case:
    while True:
        chosen, key = _keys(draw)
        if _is_number(key):
            return Case(("train", *chosen, f"{key}={draw.choice(NEVER)}"), wrong=True, key="")


def _is_number(key: str) -> bool:
    group, dot, name = key.rpartition(".")
    if group in registry.GROUPS:
        return True  # a number is refused there, or text that it is not
    hints = typing.get_type_hints(settings.SCHEMAS[group] if dot else settings.Top)
    return not {str, dict}.intersection(typing.get_args(hints[name]) or [hints[name]])


def _key(draw: random.Random) -> Case:
    chosen, key = _keys(draw)
    position = draw.randrange(len(key))
    mutated = draw.choice((f"{key[:position]}zq{key[position:]}", f"zq.{key}", f"{key}.zq", "zq" * 2000))
    prefix = draw.choice(("", "", "+", "++"))
    return Case(("train", *chosen, f"{prefix}{mutated}={draw.choice(('1', 'x', *ODD[:5]))}"), wrong=True)


def _group(draw: random.Random) -> Case:
    group = draw.choice([name for name in choices.groups() if name != "jobs"])
    name = draw.choice(choices.options(group))
    broken = draw.choice(("null", "1", "''", f"{name}zq", "[]", "{a:1}", "a/b", "../x", "é", "nan", "q" * 3000, "true"))
    word = draw.choice(
        (f"{group}={broken}", f"{group}={broken}", f"~{group}", f"{group}", "hydra=1", f"{group}.zq.r=1")
    )
    return Case(("train", word), wrong=True, key="" if "hydra" in word else group)


def _yaml(draw: random.Random) -> Case:
    content = draw.choice((*BROKEN_YAML, *WRONG_YAML, *SOUND_YAML))
    return Case(("train", "experiment=x"), content not in SOUND_YAML, experiment=content)


def _command(draw: random.Random) -> Case:
    command = draw.choice(COMMANDS)
    if draw.random() < 0.1:
        return Case((f"{command}zq", draw.choice(WORDS)), wrong=True)
    words = [draw.choice(WORDS) for _ in range(draw.randrange(3))]
    if command == "sweep":
        words = [draw.choice(("status", "retry", "zq", "")), *words[:1]]  # a preset would train
    if command == "new":
        words = [draw.choice(("My-Idea", "vae", "a b", "", "é", "1x"))]
    if draw.random() < 0.5:
        words += [draw.choice(FLAGS), draw.choice(WORDS)]
    return Case((command, *words), wrong=False)
