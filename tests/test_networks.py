"""Every network gives the features it declares, for every shape of data, latent and condition."""

import importlib
from textwrap import dedent

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from vaezoo.errors import UsageError
from vaezoo.networks import custom
from vaezoo.networks.adapt import adapt
from vaezoo.networks.layers import ACTIVATIONS
from vaezoo.shapes import Shapes

NARROW = {"mlp": {"hidden": (24, 16)}, "gated_mlp": {"hidden": (24, 16)}}
CONVOLUTIONAL = ("conv", "resnet")
VECTORS = [
    ((13,), (3,)),
    ((1, 8, 8), (3,)),
    ((1, 28, 28), (3,)),
    ((1, 28, 20), (2, 5)),
    ((3, 32, 32), (3,)),
    ((3, 64, 64), (3,)),
]
GRIDS = [
    ((9,), (2, 1, 5)),
    ((1, 8, 8), (2, 8, 8)),
    ((1, 28, 28), (2, 7, 7)),
    ((1, 28, 20), (2, 7, 5)),
    ((3, 32, 32), (2, 4, 4)),
]
CASES = [(network, *sizes) for network in (*NARROW, *CONVOLUTIONAL) for sizes in VECTORS]
CASES += [(network, *sizes) for network in CONVOLUTIONAL for sizes in GRIDS]
CONDITIONED = [(*case, condition) for case in CASES for condition in ("none", "one-hot")]
CONDITIONED += [(*case, "picture") for case in CASES if len(case[1]) == 3]
SMALL = [(network, (3,)) for network in (*NARROW, *CONVOLUTIONAL)] + [(n, (2, 2, 2)) for n in CONVOLUTIONAL]


def make(network, event, latent, condition="none"):
    """An encoder, a decoder and inputs x, z, c for a batch of three."""
    torch.manual_seed(0)
    c = {"none": (), "one-hot": (4,), "picture": (2, *event[1:])}[condition]
    shapes = Shapes(event=event, latent=latent, condition=c)
    module = importlib.import_module(f"vaezoo.networks.{network}")
    options = NARROW.get(network, {"channels": (8, 12, 16)})
    inputs = torch.rand(3, *event), torch.randn(3, *latent), torch.rand(3, *c) if c else None
    return module.Encoder(shapes, **options), module.Decoder(shapes, **options), inputs


@pytest.mark.parametrize(("network", "event", "latent", "condition"), CONDITIONED)
def test_features_are_as_declared_and_gradients_reach_every_parameter(network, event, latent, condition):
    encoder, decoder, (x, z, c) = make(network, event, latent, condition)
    code, features = encoder(x, c), decoder(z, c)
    assert code.shape == (3, *encoder.features)
    assert features.shape == (3, *decoder.features)
    assert encoder.features[1:] == (latent[1:] if len(latent) == 3 else ())
    on_pictures = network in CONVOLUTIONAL and len(event) == 3
    assert decoder.features[1:] == (event[1:] if on_pictures else ())
    (code.square().sum() + features.square().sum()).backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("condition", ["none", "one-hot", "picture"])
@pytest.mark.parametrize(("network", "latent"), SMALL)
def test_examples_do_not_depend_on_each_other_and_c_matters(network, latent, condition):
    encoder, decoder, (x, z, c) = make(network, (1, 8, 8), latent, condition)
    for module, first in ((encoder, x), (decoder, z)):
        together = module(first, c)
        alone = module(first[1:2], None if c is None else c[1:2])
        torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)
        if c is not None:
            assert not torch.allclose(together, module(first, 1 - c), atol=1e-4)


@pytest.mark.parametrize("network", [*NARROW, *CONVOLUTIONAL])
def test_state_dict_round_trip_is_exact(network):
    encoder, decoder, (x, z, _) = make(network, (1, 8, 8), (3,))
    others = make(network, (1, 8, 8), (3,))[:2]
    for module, other, inputs in ((encoder, others[0], x), (decoder, others[1], z)):
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1)
        other.load_state_dict(module.state_dict())
        assert torch.equal(other(inputs), module(inputs))


def test_gated_layer_is_the_product_of_a_linear_map_and_its_gate():
    layer = importlib.import_module("vaezoo.networks.gated_mlp").GatedLinear(5, 3)
    x = torch.randn(4, 5)
    (w, v), (b, c) = layer.both.weight.split(3), layer.both.bias.split(3)
    torch.testing.assert_close(layer(x), (x @ w.T + b) * torch.sigmoid(x @ v.T + c))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_builds(activation):
    mlp = importlib.import_module("vaezoo.networks.mlp")
    encoder = mlp.Encoder(Shapes(event=(4,), latent=(2,)), hidden=(3,), activation=activation)
    assert encoder(torch.randn(2, 4)).isfinite().all()


def test_no_hidden_layer_is_the_identity():
    mlp = importlib.import_module("vaezoo.networks.mlp")
    shapes = Shapes(event=(4,), latent=(2,))
    assert mlp.Encoder(shapes, hidden=()).features == (4,)
    assert mlp.Decoder(shapes, hidden=()).features == (2,)


@pytest.mark.parametrize(
    ("network", "shapes", "options", "message"),
    [
        ("mlp", {}, {"activation": "gellu"}, "activation='gellu' is not one of relu.*did you mean 'gelu'"),
        ("mlp", {}, {"hidden": (4, 0)}, r"hidden=\[4, 0\] must .* >= 1"),
        ("mlp", {"latent": (2, 4, 4)}, {}, r"encoder=mlp gives a vector, but latent=\[2, 4, 4\] is a grid"),
        ("gated_mlp", {"latent": (2, 4, 4)}, {}, "encoder=gated_mlp gives a vector"),
        ("conv", {}, {"channels": ()}, r"channels=\[\] must list at least 1"),
        ("conv", {"latent": (2, 5, 5)}, {}, "grid of 5x5, but 3 halvings .* reach only 28x28, 14x14, 7x7, 4x4$"),
        ("resnet", {"latent": (2, 5, 5)}, {"channels": (8,)}, "1 halvings .* reach only 28x28, 14x14$"),
        ("resnet", {}, {"blocks": -1}, "blocks=-1 must be >= 0"),
        ("conv", {"condition": (1, 8, 8)}, {}, "has not the height and width"),
        ("conv", {"event": (4, 5)}, {}, r"convolutions need events \(C, H, W\) or \(D,\)"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(network, shapes, options, message):
    given = Shapes(**{"event": (1, 28, 28), "latent": (3,), **shapes})
    with pytest.raises(UsageError, match=message) as caught:
        importlib.import_module(f"vaezoo.networks.{network}").Encoder(given, **options)
    assert "\n" not in str(caught.value)


NETS = """
    import torch
    from torch import nn

    class Flat(nn.Module):
        def __init__(self, shapes, width=7):
            super().__init__()
            self.layer = nn.LazyLinear(width)
        def forward(self, x):
            return self.layer(x.flatten(1))

    class Conditional(Flat):
        def forward(self, x, c):
            return super().forward(torch.cat([x.flatten(1), c], 1))

    class Wrong(nn.Module):
        def forward(self, x):
            return x

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Broken(nn.Module):
        def __init__(self):
            raise RuntimeError("no weights\\nsecond line")

    def number():
        return 3
"""
PICTURES = Shapes(event=(1, 8, 8), latent=(3,))
CONDITIONAL = PICTURES.replace(condition=(4,))


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The folder with a module of user-written networks, on the import path."""
    (tmp_path / "users_nets.py").write_text(dedent(NETS))
    (tmp_path / "unfinished.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("target", ["users_nets.Flat", "users_nets.py:Flat", "./users_nets.py:Flat"])
def test_custom_network_is_built_from_a_module_or_a_file(nets, target):
    encoder = custom.Encoder(PICTURES, target, {"width": 5})
    decoder = custom.Decoder(PICTURES, target)
    assert encoder.features == (5,) and encoder(torch.rand(6, 1, 8, 8)).shape == (6, 5)
    assert decoder.features == (7,) and decoder(torch.randn(6, 3), None).shape == (6, 7)
    assert all(module.training for module in encoder.modules())


def test_custom_network_gets_plain_lists_from_a_config(nets):
    args = OmegaConf.create({"shape": [1, 8, 8]})
    (nets / "folding.py").write_text("from torch import nn\ndef fold(shape): return nn.Unflatten(1, shape)\n")
    decoder = custom.Decoder(PICTURES.replace(latent=(64,)), "folding.py:fold", args)
    assert decoder.features == (1, 8, 8) and isinstance(decoder.network.unflattened_size, list)


def test_custom_network_takes_a_condition(nets):
    encoder = custom.Encoder(CONDITIONAL, "users_nets.Conditional")
    x, c = torch.rand(2, 1, 8, 8), torch.rand(2, 4)
    assert encoder(x, c).shape == (2, 7)
    assert not torch.equal(encoder(x, c), encoder(x, 1 - c))


@pytest.mark.parametrize(
    ("target", "args", "shapes", "message"),
    [
        ("", {}, PICTURES, "encoder.target='' must be package.module.Net or path/to/file.py:Net"),
        ("Flat", {}, PICTURES, "encoder.target='Flat' must be"),
        ("no.such.Net", {}, PICTURES, "encoder.target='no.such.Net' cannot be imported: ModuleNotFoundError"),
        ("unfinished.Net", {}, PICTURES, "cannot be imported: .*No module named 'no_such_package'"),
        ("none.py:Net", {}, PICTURES, "'none.py:Net' cannot be imported: FileNotFoundError"),
        ("readme.txt:Net", {}, PICTURES, "is not a Python file"),
        ("users_nets.Flatt", {}, PICTURES, "no class or function 'Flatt'; did you mean 'Flat'"),
        ("users_nets.Flat", {"widht": 3}, PICTURES, "does not take encoder.args={'widht': 3}"),
        ("users_nets.Broken", {}, PICTURES, "fails with encoder.args={}: RuntimeError: no weights"),
        ("users_nets.number", {}, PICTURES, "builds a int; expected a torch.nn.Module"),
        ("users_nets.Flat", {}, CONDITIONAL, r"users_nets.Flat must accept forward\(x, c\), because there is"),
        ("users_nets.Conditional", {}, PICTURES, r"users_nets.Conditional must accept forward\(x\) with inputs \[2, 1"),
        (
            "users_nets.Wrong",
            {},
            PICTURES,
            r"gives \[2, 1, 8, 8\] for an input \[2, 1, 8, 8\]; expected \[2, F\]",
        ),
        ("users_nets.Wrong", {}, PICTURES.replace(latent=(2, 4, 4)), r"expected \[2, F, 4, 4\]"),
        ("users_nets.Pair", {}, PICTURES, r"gives a tuple for an input \[2, 1, 8, 8\]; expected a tensor \[2, F\]"),
        (
            "torch.nn.Linear",
            {"in_features": 3, "out_features": 2},
            PICTURES,
            r"fails on an input \[2, 1, 8, 8\]: ",
        ),
    ],
)
def test_custom_network_that_does_not_fit_is_one_sentence(nets, target, args, shapes, message):
    with pytest.raises(UsageError, match=message) as caught:
        custom.Encoder(shapes, target, args)
    assert "\n" not in str(caught.value)


def test_custom_decoder_must_give_the_size_of_the_event(nets):
    shapes = PICTURES.replace(latent=(2, 4, 4))
    with pytest.raises(UsageError, match=r"gives \[2, 2, 4, 4\] .* expected \[2, F\] or \[2, C, 8, 8\]"):
        custom.Decoder(shapes, "users_nets.Wrong")
    assert custom.Decoder(PICTURES.replace(latent=(2, 8, 8)), "users_nets.Wrong").features == (2, 8, 8)


def test_adapt_finds_the_features_of_a_module_built_by_hand_and_leaves_it_as_it_was():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5), nn.Dropout())
    network[3].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()
    adapted = adapt(network, PICTURES, "encoder")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [module.training for module in network] == [True, True, True, False]
    assert adapted.features == (5,)
    assert adapted(torch.rand(4, 1, 8, 8), None).shape == (4, 5)


def test_adapt_returns_a_network_that_has_the_interface():
    encoder = importlib.import_module("vaezoo.networks.mlp").Encoder(PICTURES)
    assert adapt(encoder, PICTURES, "encoder") is encoder
    assert adapt(lambda shapes: encoder, PICTURES, "encoder") is encoder


@pytest.mark.parametrize("network", [3, "mlp", lambda shapes: 3])
def test_adapt_refuses_what_is_no_network(network):
    with pytest.raises(UsageError, match=r"encoder=.* is neither a torch module nor a function"):
        adapt(network, PICTURES, "encoder")
