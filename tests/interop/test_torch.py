"""PyTorch modules and files: the same outputs, and refusals that name what they refuse."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")

from torch import nn

from solvers import InputError, Network
from solvers.interop import from_file, from_torch
from solvers.interop.steps import ImportedNetwork


def outputs(imported: ImportedNetwork, x: np.ndarray) -> np.ndarray:
    network = Network.from_dict(imported.network)
    theta = network.flatten(imported.parameters)
    return network.outputs(theta, network.augment(x.reshape(len(x), -1)))


def same_function(module: nn.Module, imported: ImportedNetwork, *shape: int) -> None:
    x = torch.randn(7, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = module.double()(x).detach().numpy()[:, 0]
    np.testing.assert_allclose(outputs(imported, x.numpy()), expected, rtol=1e-12, atol=1e-12)


def mlp(*, first_bias: bool = False, inner_bias: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 4, bias=first_bias),
        nn.ReLU(),
        nn.Linear(4, 3, bias=inner_bias),
        nn.ReLU(),
        nn.Linear(3, 1, bias=False),
    )


def cnn1() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(2, 3, 3, stride=2, padding=1, bias=True),
        nn.ReLU(),
        nn.Conv1d(3, 4, 2, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 4, 1, bias=False),
    )


def cnn2() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, (3, 2), stride=(1, 2), padding=(1, 0), bias=True),
        nn.ReLU(),
        nn.Flatten(),
        nn.Sequential(nn.Linear(2 * 6 * 3, 1, bias=False)),
    )


@pytest.mark.parametrize("first_bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_module_is_the_same_function(first_bias: bool, dtype: torch.dtype) -> None:
    module = mlp(first_bias=first_bias).to(dtype)
    imported = from_torch(module)
    assert imported.network["widths"] == [5, 4, 3, 1]
    assert imported.network.get("first_layer_bias", False) is first_bias
    same_function(module, imported, 5)


def test_convolutions_are_the_same_function() -> None:
    torch.manual_seed(0)
    for module, shape in ((cnn1(), (2, 10)), (cnn2(), (1, 6, 6))):
        same_function(module, from_torch(module, input_shape=shape), *shape)


def test_a_linear_module() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.Linear(3, 1, bias=False))
    imported = from_torch(module)
    assert imported.network["activation"] == "linear"
    same_function(module, imported, 2, 3)


@pytest.mark.parametrize("wrapped", [None, "state_dict", "model_state_dict"])
def test_a_state_dict_file(tmp_path: Path, wrapped: str | None) -> None:
    module = mlp(first_bias=True)
    state = module.state_dict()
    path = tmp_path / "model.pt"
    torch.save(state if wrapped is None else {"epoch": 3, wrapped: state}, path)
    same_function(module, from_file(path), 5)


def test_a_state_dict_of_an_old_file(tmp_path: Path) -> None:
    module, path = mlp(), tmp_path / "model.pth"
    torch.save(module.state_dict(), path, _use_new_zipfile_serialization=False)
    same_function(module, from_file(path), 5)


def test_a_safetensors_file_of_many_layers(tmp_path: Path) -> None:
    """Its names come back sorted as text; layer 10 stands behind layer 2 all the same."""
    save_file = pytest.importorskip("safetensors.torch").save_file
    torch.manual_seed(2)
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [nn.Linear(4, 4, bias=False), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(4, 1, bias=False))
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    same_function(module, from_file(tmp_path / "model.safetensors"), 4)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 5, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


def last(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Linear(5, 1, bias=False))


@pytest.mark.parametrize(
    ("module", "pointer", "named"),
    [
        (mlp(inner_bias=True), "/model/2", "bias beyond the first layer"),
        (last(nn.Linear(5, 5), nn.Tanh()), "/model/1", "Tanh"),
        (last(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.ReLU()), "/model/1", "BatchNorm1d"),
        (last(Residual(), nn.ReLU()), "/model/0", "Residual"),
        (last(nn.Linear(5, 5), nn.Dropout()), "/model/1", "Dropout"),
        (last(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5, bias=False)), "/model", "some layers"),
        (nn.Sequential(*mlp(), nn.ReLU()), "/model/5", "after the last layer"),
        (nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 2, bias=False)), "/model/1", "2 outputs"),
        (nn.Sequential(nn.Linear(5, 4), nn.Linear(5, 1, bias=False)), "/model/1", "takes 5"),
        (cnn1(), "/model/0", "input_shape"),
        (nn.Sequential(nn.Linear(5, 1)), "/model", "1 layers"),
        (mlp().half(), "/model/0", "float16"),
        (nn.Sequential(nn.Conv1d(2, 2, 3, groups=2), *mlp()), "/model/0", "groups"),
        (nn.Sequential(nn.Conv1d(2, 2, 3, padding="same"), *mlp()), "/model/0", "padding"),
        (nn.Sequential(nn.Flatten(0), *mlp()), "/model/0", "Flatten"),
    ],
)
def test_refusals_by_name(module: nn.Module, pointer: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        from_torch(module)
    assert caught.value.errors[0].pointer == pointer
    assert named in caught.value.errors[0].message


def test_hooks_are_refused() -> None:
    module = mlp()
    module[1].register_forward_hook(lambda *_: None)
    with pytest.raises(InputError, match="hooks"):
        from_torch(module)


def test_a_wrong_data_width_names_the_data() -> None:
    with pytest.raises(InputError) as caught:
        from_torch(mlp(), input_shape=(6,))
    assert caught.value.errors[0].pointer == "/dataset/x/0"
    assert "found 6 numbers in an example, expected 5" in caught.value.errors[0].message


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5)).state_dict(), "batch norm"),
        (nn.Sequential(nn.Linear(5, 5), nn.LayerNorm(5)).state_dict(), "normalization"),
        (cnn1().state_dict(), "no stride"),
        (mlp(inner_bias=True).state_dict(), "bias beyond"),
        (OrderedDict({"0.weight": torch.ones(2, 2), "0.alpha": torch.ones(2)}), "alpha"),
        (OrderedDict({"0.weight": torch.full((2, 2), torch.nan)}), "not finite"),
        (OrderedDict({"0.weight": torch.ones(1).expand(100_000, 100_000)}), "10000000000 numbers"),
        (OrderedDict({"epoch": 3}), "named 'epoch'"),
    ],
)
def test_state_dicts_that_are_refused(state: OrderedDict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        from_torch(state)


def test_pickled_code_is_not_executed(tmp_path: Path) -> None:
    """A whole module is pickled code, and so is any object with a __reduce__ of its own."""
    mark = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(mark),))  # type: ignore[return-value]

    for name, value in (("whole", mlp()), ("evil", {"0.weight": Evil()})):
        path = tmp_path / f"{name}.pt"
        torch.save(value, path)
        with pytest.raises(InputError, match="pickled code"):
            from_file(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense" * 50, b"PK\x03\x04broken"])
def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    for ending in (".pt", ".safetensors"):
        path = tmp_path / f"model{ending}"
        path.write_bytes(content)
        with pytest.raises(InputError):
            from_file(path)
    with pytest.raises(InputError, match="expected"):
        from_file(tmp_path / "model.pkl")
    with pytest.raises(InputError, match="No such file"):
        from_file(tmp_path / "absent.pt")
