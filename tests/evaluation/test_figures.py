import pytest
import torch

from dualpix.evaluation.figures import CELL_PX, COLOURS, GAP_PX, LABEL_PX, Scene, comparison, find_windows


def plain_scene(height: int = 90, width: int = 180) -> tuple[torch.Tensor, torch.Tensor]:
    """A sharp picture full of detail, and a blurry one."""
    sharp = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    blurry = torch.nn.functional.avg_pool2d(sharp[None], 7, 1, 3)[0]
    return sharp, blurry


def test_windows_are_where_one_picture_is_better_than_another() -> None:
    sharp, blurry = plain_scene()
    method = blurry.clone()
    for top, left in ((60, 20), (20, 140)):
        method[:, top : top + 20, left : left + 20] = sharp[:, top : top + 20, left : left + 20]
    windows = find_windows([blurry, method], sharp, count=2, side_px=20)
    assert {(top, left) for top, left, _ in windows} == {(60, 20), (20, 140)}
    without_truth = find_windows([blurry, method], None, count=2, side_px=20)
    assert {(top, left) for top, left, _ in without_truth} == {(60, 20), (20, 140)}


def test_a_change_of_brightness_alone_draws_no_window() -> None:
    sharp, blurry = plain_scene()
    method = blurry.clone()
    method[:, :, 90:] += 0.3
    method[:, 40:60, 20:40] = sharp[:, 40:60, 20:40]
    assert find_windows([blurry, method], sharp, count=1, side_px=20) == [(40, 20, 20)]


def test_windows_never_overlap_and_stop_when_the_picture_is_full() -> None:
    sharp, blurry = plain_scene(60, 60)
    windows = find_windows([blurry, sharp], sharp, count=50, side_px=10)
    assert 4 <= len(windows) < 50
    for number, (top, left, side) in enumerate(windows):
        assert 0 <= top <= 60 - side and 0 <= left <= 60 - side
        for other_top, other_left, _ in windows[:number]:
            assert max(abs(top - other_top), abs(left - other_left)) >= 2 * side


def test_comparison_shows_exactly_the_pixels_of_the_windows() -> None:
    sharp, blurry = plain_scene()
    method = blurry.clone()
    method[:, 40:50, 60:70] = sharp[:, 40:50, 60:70]
    figure = comparison([Scene("scene", {"input": blurry, "method": method}, sharp)], details=1)
    overview = CELL_PX * 2  # twice as wide as high
    assert figure.shape == (3, LABEL_PX + CELL_PX + GAP_PX, 2 * GAP_PX + overview + 3 * (GAP_PX + CELL_PX))
    (window,) = find_windows([blurry, method], sharp, 1, 10)
    top, left, side = window
    for column, picture in enumerate([blurry, method, sharp]):
        start = GAP_PX + overview + GAP_PX + column * (CELL_PX + GAP_PX)
        cell = figure[:, LABEL_PX : LABEL_PX + CELL_PX, start : start + CELL_PX]
        zoom = CELL_PX // side
        centres = cell[:, zoom // 2 :: zoom, zoom // 2 :: zoom]
        assert torch.equal(centres, picture[:, top : top + side, left : left + side])
        assert torch.equal(cell[:, 0, 0], torch.tensor(COLOURS[0]))
    box = torch.tensor(COLOURS[0])[:, None]
    row = figure[:, LABEL_PX + round(top * CELL_PX / 90), GAP_PX : GAP_PX + overview]
    assert (row == box).all(dim=0).sum() == round(side * CELL_PX / 90)


def test_labels_are_written_above_and_cut_short_where_they_do_not_fit() -> None:
    sharp, blurry = plain_scene()
    start = 2 * GAP_PX + 2 * CELL_PX
    strips = []
    for label in ("", "input", "input" * 40):
        figure = comparison([Scene("scene", {label: blurry}, sharp)], details=1)
        strips.append(figure[:, :LABEL_PX, start : start + CELL_PX + GAP_PX])
    inked = [(strip < 0.6).any(dim=0).any(dim=0).sum().item() for strip in strips]
    assert inked[0] == 0 < inked[1] < inked[2]
    assert (strips[2][:, :, CELL_PX:] == 1).all()


def test_scenes_of_any_shape_stand_below_one_another() -> None:
    scenes = [
        Scene("wide", {"input": torch.rand(3, 30, 200)}),
        Scene("tall", {"input": torch.rand(3, 200, 30), "b": torch.rand(3, 200, 30)}, torch.rand(3, 200, 30)),
        Scene("tiny", {"input": torch.rand(3, 3, 2)}),
    ]
    figure = comparison(scenes)
    assert figure.shape[1] == 3 * (LABEL_PX + 2 * CELL_PX + 2 * GAP_PX)
    assert figure.dtype == torch.float32 and figure.min() >= 0 and figure.max() <= 1


def test_no_scenes_and_unequal_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        comparison([])
    with pytest.raises(ValueError, match="one size"):
        comparison([Scene("scene", {"input": torch.rand(3, 30, 30), "b": torch.rand(3, 30, 31)})])
