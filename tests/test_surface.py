"""The public names of the package: what is listed here is what users may rely on, no more and no less."""

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import dualpix

PUBLIC = [
    "Checkpoint",
    "CheckpointError",
    "DataError",
    "Deblur",
    "DeblurOptions",
    "DualpixError",
    "LOSSES",
    "METRICS",
    "MachineError",
    "NETWORKS",
    "NetworkSpec",
    "Optics",
    "PairError",
    "PictureError",
    "RECIPES",
    "Recipe",
    "RecipeError",
    "SimulatedPairs",
    "SimulatedStream",
    "WEIGHTS",
    "__version__",
    "create",
    "deblur",
    "disparity",
    "evaluate",
    "from_pretrained",
    "load",
    "open_dataset",
    "open_views",
    "read_pair",
    "read_picture",
    "refocus",
    "report",
    "save_pretrained",
    "simulate",
    "train",
    "write_picture",
]


def test_the_list_of_public_names_is_frozen() -> None:
    assert sorted(dualpix.__all__) == PUBLIC
    assert dir(dualpix) == PUBLIC


def test_type_checkers_are_told_what_python_is() -> None:
    tree = ast.parse(Path(dualpix.__file__).read_text())
    imports = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module.startswith("dualpix.")
    ]
    told = {alias.name: node.module.removeprefix("dualpix.") for node in imports for alias in node.names}
    assert told == dualpix._HOMES


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(dualpix, name)
    assert not callable(thing) or (thing.__doc__ or "").strip(), f"dualpix.{name} has no docstring"


@pytest.mark.parametrize("name", [name for name in PUBLIC if name.isupper()])
def test_tables_map_lower_case_names_to_things(name: str) -> None:
    table = getattr(dualpix, name)
    assert table
    for entry in table:
        assert entry == entry.lower() and " " not in entry and "_" not in entry


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="sharpen"):
        _ = dualpix.sharpen


@pytest.mark.parametrize(
    ("module", "former", "current"),
    [
        ("evaluation", "SYSTEMS", "TABLE_ROWS"),
        ("networks", "MAPPERS", "DEFOCUS_ESTIMATORS"),
        ("networks", "Mapper", "DefocusEstimator"),
        ("pairs", "turn_back", "restore_orientation"),
    ],
)
def test_former_names_lead_to_the_current_ones(module: str, former: str, current: str) -> None:
    found = import_module(f"dualpix.{module}")
    with pytest.warns(DeprecationWarning, match=f"{former} is called {current} now"):
        assert getattr(found, former) is getattr(found, current)
    assert former not in dir(found)


def test_the_keywords_of_train_are_frozen_and_documented() -> None:
    keywords = [*inspect.signature(dualpix.train).parameters]
    assert keywords == [
        *("recipe", "folder", "photos", "depths", "data", "validation", "left_behind", "report", "begun"),
        *("is_last", "track", "rendered_first", "spent_s", "compiled", "decoded_gb"),
    ]
    assert all(f"        {keyword}: " in (dualpix.train.__doc__ or "") for keyword in keywords[2:])


@pytest.mark.parametrize("name", ["simulation.batch.BatchSimulator", "simulation.pack.pack"])
def test_what_a_gpu_learns_from_is_in_the_reference(name: str) -> None:
    module, _, thing = name.rpartition(".")
    assert getattr(import_module(f"dualpix.{module}"), thing).__doc__
    docs = Path(__file__).parents[1] / "docs"
    assert f":: dualpix.{name}\n" in (docs / "reference.md").read_text()
