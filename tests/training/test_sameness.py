"""What differs between machines is said, with both machines' names, before a step is taken."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dualpix.errors import MachineError, RecipeError
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe
from dualpix.training.sameness import difference, facts_of, require_same, sees_folder_of_the_first


class Told(Processes):
    """The second of two processes, whose first says `told`; nothing is sent."""

    told = b""

    def gather(self, content: bytes) -> list[bytes]:
        return [self.told, content]


def told(facts: dict[str, str]) -> Told:
    found = Told(1, 2)
    found.told = json.dumps({"name": "alpha", "facts": facts}).encode()
    return found


def test_what_is_the_same_is_passed_over(quick: Callable[..., Recipe]) -> None:
    facts = facts_of(quick())
    require_same(told(facts), facts)
    assert difference(facts, "a", facts, "b") == ""
    assert difference(facts, "a", facts | {"commit of dualpix": ""}, "b") == "", "installed there, a checkout here"


def test_versions_and_data_that_differ(quick: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPIX_MACHINE", "beta")
    facts = facts_of(quick())
    for name in facts.keys() - {"recipe"}:
        with pytest.raises(MachineError, match=f"^The {name} is 9.9 on beta and 1.1 on alpha; make them the same on"):
            require_same(told(facts | {name: "1.1"}), facts | {name: "9.9"})
    with pytest.raises(MachineError, match="The fingerprint of the photos is 12ab on beta and 34cd on alpha"):
        require_same(told({"fingerprint of the photos": "34cd"}), {"fingerprint of the photos": "12ab"})


def test_recipes_that_differ_are_told_by_field(quick: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALPIX_MACHINE", "beta")
    one, two = (facts_of(replace(quick(), seed=seed)) for seed in (1, 2))
    with pytest.raises(RecipeError, match=r"^The recipe on beta is not that on alpha \(seed 2 and 1\); give all the"):
        require_same(told(one), two)


def test_alone_nothing_is_asked(tmp_path: Path) -> None:
    require_same(Processes(), {"anything": "1"})
    assert sees_folder_of_the_first(Processes(), tmp_path) and not list(tmp_path.iterdir())
