"""What a training that never stops is to do, from its TOML file. Loads no PyTorch."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """A file of settings that cannot be used; says why."""


@dataclass(frozen=True)
class Plan:
    """What one network does; see `benchmarks/learn.toml`."""

    name: str
    share: float
    stage_minutes: float
    fall: float
    yardstick: str
    recipe: str
    teacher: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    folder: Path
    photos: tuple[Path, ...]
    validation: tuple[Path, ...]
    networks: tuple[Plan, ...]
    depths: Path = Path("depths")
    nice: int = 19
    idle: bool = True
    one_core: bool = True
    left_behind: int = 1000
    keep_stages: int = 30
    retry_minutes: float = 10.0
    judge: Path = Path("benchmarks/judge.py")
    judge_minutes: float = 180.0

    def home(self, plan: Plan) -> Path:
        """The folder of a network."""
        return self.folder / plan.name


def read_settings(path: Path) -> Settings:
    """Raises `SettingsError`."""
    try:
        given = tomllib.loads(path.read_text())
        plans = tuple(Plan(name, **plan) for name, plan in given.pop("networks").items())
        paths = {name: tuple(map(Path, given.pop(name))) for name in ("photos", "validation")}
        single = {name: Path(given.pop(name)) for name in ("folder", "depths", "judge") if name in given}
        settings = Settings(**single, **paths, **given, networks=plans)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError(f"{path} cannot be used: {error}.") from error
    names = {plan.name for plan in plans}
    for plan in plans:
        if min(plan.share, plan.stage_minutes, plan.fall) <= 0:
            raise SettingsError(f"{path}: share, stage_minutes and fall of {plan.name} must be above 0.")
        if plan.teacher and plan.teacher not in names - {plan.name}:
            raise SettingsError(f"{path}: the teacher of {plan.name}, {plan.teacher!r}, is no other network of it.")
    if not plans:
        raise SettingsError(f"{path} names no network.")
    return settings
