"""Keras files made here, in the published layouts, against a computation in numpy as Keras defines it: rows, columns,
channels; blue, green, red."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from dualpix import networks
from dualpix.errors import CheckpointError, DualpixError, RecipeError
from dualpix.weights.foreign import FOREIGN, translate

Arrays = dict[str, np.ndarray]
Layer = tuple[str, Arrays]
Layers = list[Layer]
NARROW = (2, 3, 4, 5, 6)
PUBLISHED = {"dpdnet": (64, 128, 256, 512, 1024), "rdpd": (32, 64, 128, 256, 512)}
RNG = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return RNG.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32)


class Zeros:
    """Stands for an array of zeros, which takes no room in the file."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape


def convolution(kernel: int, channels_in: int, channels: int, make: Callable[..., Any] = drawn) -> Arrays:
    return {"kernel": make(kernel, kernel, channels_in, channels), "bias": make(channels)}


def unet(network: str, widths: tuple[int, ...], channels_in: int, make: Callable[..., Any] = drawn) -> Iterator[Layer]:
    """The layers of the authors' code in its order, those without weights among them."""
    for width in widths[:4]:
        yield "conv", convolution(3, channels_in, width, make)
        yield "conv", convolution(3, width, width, make)
        if network != "rdpd" and width == widths[3]:
            yield "dropout", {}
        yield "max_pooling2d", {}
        channels_in = width
    bottom = widths[4]
    yield "conv", convolution(3, channels_in, bottom, make)
    if network == "rdpd":
        kernels = {"kernel": make(3, 3, bottom, 4 * bottom), "recurrent_kernel": make(3, 3, bottom, 4 * bottom)}
        yield "conv_lst_m2d", {**kernels, "bias": make(4 * bottom)}
    else:
        yield "conv", convolution(3, bottom, bottom, make)
        yield "dropout", {}
    below = bottom
    for width in reversed(widths[:4]):
        yield "up_sampling2d", {}
        yield "conv", convolution(2, below, width, make)
        yield "concatenate", {}
        yield "conv", convolution(3, 2 * width, width, make)
        yield "conv", convolution(3, width, width, make)
        below = width
    yield "conv", convolution(3, below, 3, make)
    yield "conv", convolution(1, 3, 3, make)


def write(path: Path, layers: Layers, whole_model: bool = True, split: int = 0, wrapper: str = "conv2d") -> Path:
    """As Keras 2 writes: lists of names as attributes (cut into pieces of `split` names), arrays under layer/layer."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole_model else file
        if whole_model:
            file.attrs["model_config"] = b'{"class_name": "Model"}'
            file.create_dataset("optimizer_weights/Adam/conv2d_1/kernel/m:0", data=np.zeros((3, 3, 6, 2)))
        root.attrs["backend"] = b"tensorflow"
        root.attrs["keras_version"] = b"2.2.4"
        names = []
        for number, (kind, arrays) in enumerate(layers, 1):
            name = f"{wrapper if kind == 'conv' else kind}_{number}"
            names.append(name)
            layer = root.create_group(name)
            keys = [f"{name}/{part}:0" for part in arrays]
            layer.attrs["weight_names"] = np.array([key.encode() for key in keys]) if keys else np.zeros(0, "S1")
            for key, array in zip(keys, arrays.values(), strict=True):
                if isinstance(array, Zeros):
                    layer.create_dataset(key, shape=array.shape, dtype="f4")
                else:
                    layer.create_dataset(key, data=array)
        pieces = [names[i : i + split] for i in range(0, len(names), split)] if split else [names]
        for number, piece in enumerate(pieces):
            root.attrs[f"layer_names{number}" if split else "layer_names"] = np.array([n.encode() for n in piece])
    return path


def convolve(maps: np.ndarray, arrays: Arrays, part: str = "kernel") -> np.ndarray:
    """H W C -> H W N, zeros around: of the k - 1 rows and columns, the smaller half above and left."""
    kernel = arrays[part].astype(np.float64)
    before = (kernel.shape[0] - 1) // 2
    around = (before, kernel.shape[0] - 1 - before)
    windows = sliding_window_view(np.pad(maps, (around, around, (0, 0))), kernel.shape[:2], (0, 1))
    return np.einsum("hwckl,klcn->hwn", windows, kernel) + (arrays["bias"] if part == "kernel" else 0)


def compute(layers: Layers, frames: list[np.ndarray], sigmoid: bool) -> list[np.ndarray]:
    """What Keras computes for frames H W C in turn, keeping the memory between them; dropout is for training."""
    results, hidden, cell = [], None, 0.0
    for maps in frames:
        skips = []
        for number, (kind, arrays) in enumerate(layers):
            if kind == "conv":
                maps = convolve(maps, arrays)
                maps = maps if number == len(layers) - 1 else np.maximum(maps, 0)
            elif kind == "max_pooling2d":
                skips.append(maps)
                height, width, channels = maps.shape
                maps = maps.reshape(height // 2, 2, width // 2, 2, channels).max((1, 3))
            elif kind == "up_sampling2d":
                maps = maps.repeat(2, 0).repeat(2, 1)
            elif kind == "concatenate":
                maps = np.concatenate([skips.pop(), maps], axis=2)
            elif kind == "conv_lst_m2d":
                remembered = convolve(hidden, arrays, "recurrent_kernel") if hidden is not None else 0.0
                i, f, c, o = np.split(convolve(maps, arrays) + remembered, 4, axis=2)
                i, f, o = (np.clip(0.2 * gate + 0.5, 0, 1) for gate in (i, f, o))
                cell = f * cell + i * np.tanh(c)
                maps = hidden = o * np.tanh(cell)
        results.append(1 / (1 + np.exp(-maps)) if sigmoid else maps)
    return results


def loaded(name: str, path: Path, **arguments: Any) -> Any:
    network = networks.create(name, **arguments).eval()
    network.load_state_dict(translate(path, name, **arguments), strict=True)
    return network.double()


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    """H W blue-green-red -> 3 H W red-green-blue."""
    return torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)


@torch.no_grad()
@pytest.mark.parametrize("name", ["dpdnet", "dpdnet-single"])
@pytest.mark.parametrize("form", [{"whole_model": True}, {"whole_model": False}, {"split": 5}])
def test_dpdnet_computes_what_keras_does(name: str, form: dict[str, Any], tmp_path: Path) -> None:
    views = 2 if name == "dpdnet" else 1
    layers = list(unet(name, NARROW, 3 * views))
    pictures = RNG.random((views, 16, 32, 3))
    expected = compute(layers, [np.concatenate(pictures, axis=2)], sigmoid=True)[0]
    network = loaded(name, write(tmp_path / "w.hdf5", layers, **form), widths=NARROW)
    sharp = network(*(as_tensor(picture)[None] for picture in pictures))[0]
    np.testing.assert_allclose(sharp, as_tensor(expected), atol=1e-6)
    assert expected.std() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("radius_map", [True, False])
def test_rdpd_computes_what_keras_does_frame_by_frame(radius_map: bool, tmp_path: Path) -> None:
    layers = list(unet("rdpd", NARROW, 6 + radius_map))
    pictures = RNG.random((2, 3, 16, 32, 3))  # views, frames
    radius = RNG.random((16, 32, 1))
    inputs = [np.concatenate([*frame, *([radius] if radius_map else [])], axis=2) for frame in pictures.swapaxes(0, 1)]
    expected = compute(layers, inputs, sigmoid=False)
    path = write(tmp_path / "w.hdf5", layers, wrapper="time_distributed")
    network = loaded("rdpd", path, widths=NARROW, radius_map=radius_map)
    left, right = (torch.stack([as_tensor(frame) for frame in view])[None] for view in pictures)
    sharp, _ = network.sequence(left, right, radius=torch.from_numpy(radius).permute(2, 0, 1)[None])
    np.testing.assert_allclose(sharp[0], torch.stack([as_tensor(frame) for frame in expected]), atol=1e-6)
    assert np.std(expected) > 1e-3 and not np.allclose(expected[0], compute(layers, inputs[1:2], sigmoid=False)[0])


@pytest.mark.parametrize(("name", "channels_in", "parameters"), [("dpdnet", 6, 31_035_151), ("rdpd", 7, 24_278_703)])
def test_the_published_sizes_fit(name: str, channels_in: int, parameters: int, tmp_path: Path) -> None:
    path = write(tmp_path / "w.hdf5", list(unet(name, PUBLISHED[name], channels_in, Zeros)))
    state = translate(path, name)
    assert sum(tensor.numel() for tensor in state.values()) == parameters
    with torch.device("meta"):
        assert list(state) == list(networks.create(name).state_dict())


def refuse(path: Path, name: str = "dpdnet", **arguments: Any) -> str:
    with pytest.raises(DualpixError) as caught:
        translate(path, name, **(arguments or {"widths": NARROW}))
    assert isinstance(caught.value, CheckpointError) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def layers() -> Layers:
    return list(unet("dpdnet", NARROW, 6))


@pytest.fixture
def path(layers: Layers, tmp_path: Path) -> Path:
    return write(tmp_path / "w.hdf5", layers)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 0.999])
def test_a_truncated_file(share: float, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated or damaged" in refuse(path)


def test_a_file_whose_inside_is_overwritten(path: Path) -> None:
    """Anything but a crash or silence about structure: numbers may change, which no file format here would tell."""
    content = path.read_bytes()
    refused = 0
    for start in range(96, len(content) - 512, len(content) // 40):
        path.write_bytes(content[:start] + b"\xff" * 512 + content[start + 512 :])
        try:
            translate(path, "dpdnet", widths=NARROW)
        except CheckpointError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "not an HDF5"), (b"text", "not an HDF5"), (b"\x89HDF\r\n\x1a\n", "truncated")]
)
def test_no_hdf5_at_all(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "w.hdf5"
    path.write_bytes(content)
    assert says in refuse(path)


def test_no_file(tmp_path: Path) -> None:
    assert "There is no weights file" in refuse(tmp_path / "none.hdf5")
    assert "There is no weights file" in refuse(tmp_path)


def test_hdf5_of_something_else(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 6, 2))
    assert "not one of Keras 2" in refuse(tmp_path / "w.h5")


def test_a_missing_layer(layers: Layers, tmp_path: Path) -> None:
    index = next(i for i, (_, arrays) in enumerate(layers) if arrays and arrays["kernel"].shape == (3, 3, 3, 4))
    message = refuse(write(tmp_path / "w.hdf5", layers[:index] + layers[index + 1 :]))
    assert "a layer is missing from the file, 'encoder.2.0' (kernel 3 x 3 x 3 x 4, bias 4)" in message
    assert "missing from the file, 'head.2'" in refuse(write(tmp_path / "w.hdf5", layers[:-1]))


def test_a_layer_too_many(layers: Layers, tmp_path: Path) -> None:
    extra = ("dense", {"kernel": drawn(3, 7), "bias": drawn(7)})
    message = refuse(write(tmp_path / "w.hdf5", layers[:3] + [extra] + layers[3:]))
    assert "its layer 'dense_4' (kernel 3 x 7, bias 7) is one more than the network has" in message
    assert "is one more" in refuse(write(tmp_path / "w.hdf5", [*layers, extra]))
    message = refuse(write(tmp_path / "w.hdf5", [*layers, extra, extra]))
    assert "it has 26 layers with weights, and the network 24" in message


def test_a_layer_without_its_bias(layers: Layers, tmp_path: Path) -> None:
    del layers[0][1]["bias"]
    message = refuse(write(tmp_path / "w.hdf5", layers))
    assert "'conv2d_1' has kernel 3 x 3 x 6 x 2, and the network's 'encoder.0.0'" in message and ", bias 2;" in message


def test_weights_of_another_network(path: Path) -> None:
    message = refuse(path, "dpdnet-single", widths=NARROW)
    assert "does not fit network 'dpdnet-single': its layer 'conv2d_1' has kernel 3 x 3 x 6 x 2" in message
    assert "kernel 3 x 3 x 7 x 2" in refuse(path, "rdpd", widths=NARROW)
    assert "kernel 2 x 2 x 6 x 5" in refuse(path, "dpdnet", widths=NARROW, up_kernel=3)


def test_links_to_other_files_are_not_followed(path: Path, tmp_path: Path) -> None:
    path.rename(tmp_path / "other.hdf5")
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink("other.hdf5", "/model_weights")
    assert "keeps 'model_weights' in another place" in refuse(path)


@pytest.mark.parametrize("kind", ["external", "virtual", "text", "group", "soft"])
def test_only_numbers_of_its_own_are_read(kind: str, path: Path, tmp_path: Path) -> None:
    with h5py.File(path, "r+") as file:
        layer, key = file["model_weights/conv2d_1"], "conv2d_1/bias:0"
        del layer[key]
        if kind == "external":
            (tmp_path / "raw").write_bytes(bytes(8))
            layer.create_dataset(key, (2,), "f4", external=[(str(tmp_path / "raw"), 0, 8)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((2,), "f4")
            layout[:] = h5py.VirtualSource("other.hdf5", "x", (2,))
            layer.create_virtual_dataset(key, layout)
        elif kind == "text":
            layer[key] = np.array([b"a", b"b"])
        elif kind == "group":
            layer.create_group(key)
        else:
            layer[key] = h5py.SoftLink("/model_weights/conv2d_2/conv2d_2/bias:0")
    assert ("in another place" if kind == "soft" else "as numbers of its own") in refuse(path)


def test_kernels_of_theano_are_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs["backend"] = b"theano"
    assert "Keras on theano" in refuse(path)


def test_networks_and_arguments_that_are_not_known(path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no network whose authors' weights can be read called 'mccnet'.*dpdnet, "):
        translate(path, "mccnet")
    with pytest.raises(RecipeError, match=r"'dpdnet' cannot be made with arguments=\{'width': 3\}"):
        translate(path, "dpdnet", width=3)


def test_every_foreign_network_is_a_network() -> None:
    assert set(FOREIGN) <= set(networks.NETWORKS)
