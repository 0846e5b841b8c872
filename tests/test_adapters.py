"""Adapters against the real packages: what a page says of a model is what its own library computes, to 1e-5.

Run by `tox -e adapters`, which installs the packages; one that is missing fails its tests, none is skipped. Here models have
random weights or a few steps of training: what is tested is that they are read and called rightly.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import pytest
import torch
from cheats import once_trained

import latentbench as lb
from latentbench.adapters import load
from latentbench.cli import main
from latentbench.datasets import digits
from latentbench.evaluating import evaluate as evaluating

pytestmark = pytest.mark.adapters

DATA = digits.load("", "", 0)
SOME = {"x_test": DATA.test.x[:100], "x_train": DATA.train.x[:200]}
"""Digits without labels: everything is measured but for what needs a judge."""
DOCS = Path(__file__).parents[1] / "docs" / "adapters.md"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluating, "train_judge", once_trained)
    monkeypatch.setattr(sys, "path", list(sys.path))
    torch.manual_seed(0)
    return tmp_path


def measured(model, out, **given):
    """Every measure of a model, with its page; none failed."""
    result = lb.evaluate(model, out=out, quiet=True, **given)
    assert [(r.metric, r.reason) for r in result.records if r.status == "failed"] == []
    assert result.report.stat().st_size > 10_000
    return result


def error(x, recon):
    return float(
        (torch.as_tensor(np.asarray(recon)).double() - torch.as_tensor(np.asarray(x)).double()).square().mean()
    )


@pytest.mark.parametrize("kind", ["VAE", "AE", "RAE_L2"])
def test_pythae(here, kind):
    from pythae import models
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig, CoupledOptimizerTrainerConfig

    config = {"VAE": models.VAEConfig, "AE": models.AEConfig, "RAE_L2": models.RAE_L2_Config}[kind]
    own = getattr(models, kind)(config(input_dim=(1, 8, 8), latent_dim=4))
    made = CoupledOptimizerTrainerConfig if kind == "RAE_L2" else BaseTrainerConfig
    training = made(output_dir=str(here / "runs"), num_epochs=2, no_cuda=True)
    TrainingPipeline(model=own, training_config=training)(train_data=DATA.train.x[:200], eval_data=DATA.val.x[:50])
    [run] = (here / "runs").iterdir()
    own.eval().cpu()
    model = load(f"pythae:{run}")
    result = measured(model, here / "page", **SOME, metrics=None if kind == "VAE" else "mse,r2,path.*")
    with torch.no_grad():
        recon = own.predict(SOME["x_test"]).recon_x
    assert result.value("mse") == pytest.approx(error(SOME["x_test"], recon), rel=1e-5)
    punctual = {r.status for r in result.records if r.metric == "kl" and r.split == "test"}
    assert punctual <= ({"ok"} if kind == "VAE" else {"skipped"})
    assert load(f"pythae:{run / 'final_model'}").name == f"Pythae {kind}"


def test_pythae_from_the_command_line(here, capsys):
    from pythae.models import VAE, BetaVAE, BetaVAEConfig, VAEConfig

    VAE(VAEConfig(input_dim=(1, 8, 8), latent_dim=4)).save("vae")
    BetaVAE(BetaVAEConfig(input_dim=(1, 8, 8), latent_dim=4, beta=4.0)).save("beta")
    words = ["pythae:vae", "pythae:beta", "--dataset", "digits", "--metrics", "mse,kl", "--json"]
    assert main(["evaluate", *words]) == 0
    row = json.loads(capsys.readouterr().out)
    assert [(c["model"], c["status"]) for c in row["cells"] if c["model"] in ("vae", "beta")] == [
        ("vae", "ok"),
        ("beta", "ok"),
    ]


def test_pythae_refusals(here):
    from pythae.models import VAE, VQVAE, VAEConfig, VQVAEConfig
    from pythae.models.nn.default_architectures import Encoder_VAE_MLP

    VQVAE(VQVAEConfig(input_dim=(1, 8, 8), latent_dim=4)).save("vq")
    with pytest.raises(ValueError, match="a VQVAE has a table of codes"):
        load("pythae:vq")
    Path("empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no model_config.json"):
        load("pythae:empty")
    config = VAEConfig(input_dim=(1, 8, 8), latent_dim=4)
    own = VAE(config, encoder=Encoder_VAE_MLP(config))
    own.model_config.uses_default_encoder = False
    own.save("custom")
    with pytest.raises(ValueError, match=r"pickled \(encoder.pkl\).*--trust"):
        load("pythae:custom")
    assert load("pythae:custom", trust=True).name == "Pythae VAE"
    VAE(VAEConfig(input_dim=(1, 8, 8), latent_dim=4)).save("evil")
    torch.save({"model_state_dict": Evil()}, "evil/model.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        load("pythae:evil")
    assert not Path("touched").exists()


class Evil:
    """A pickle that runs code where it is read."""

    def __reduce__(self):
        return Path.touch, (Path("touched"),)


def test_diffusers(here):
    import diffusers

    own = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    ).eval()
    own.save_pretrained("kl")
    x = torch.rand(60, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = load("diffusers:kl")
    assert (model.range, model.posterior) == ((-1.0, 1.0), "mean,log_var")
    assert model.encode(x[:2] * 2 - 1)[0].shape == (2, 4, 16, 16)
    result = measured(model, here / "page", x_test=x[:40], x_train=x)
    with torch.no_grad():
        recon = own.decode(own.encode(x[:40] * 2 - 1).latent_dist.mode()).sample
    assert result.value("mse") == pytest.approx(error(x[:40], (recon + 1) / 2), rel=1e-5)
    # The same images as bytes, channels last: the model still sees what it was trained on.
    numbers = (x[:40] * 255).round().byte()
    bytes_last = lb.evaluate(model, x_test=numbers.movedim(1, 3).numpy(), metrics="mse", quiet=True)
    with torch.no_grad():
        recon = own.decode(own.encode(numbers / 255 * 2 - 1).latent_dist.mode()).sample
    assert bytes_last.value("mse") == pytest.approx(error(numbers / 255, (recon + 1) / 2), rel=1e-5)


def test_diffusers_refusals(here):
    import diffusers

    small = {"block_out_channels": (8,), "norm_num_groups": 4}
    own = diffusers.AutoencoderKL(**small)
    own.save_pretrained("pickled", safe_serialization=False)
    with pytest.raises(ValueError, match=r"the weights are pickled.*--trust"):
        load("diffusers:pickled")
    assert load("diffusers:pickled", trust=True).name == "diffusers AutoencoderKL"
    own.save_pretrained("pipeline/vae")
    assert load("diffusers:pipeline").name == "diffusers AutoencoderKL"
    diffusers.UNet2DModel(
        block_out_channels=(8,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=4
    ).save_pretrained("unet")
    with pytest.raises(ValueError, match="a UNet2DModel does not encode and decode"):
        load("diffusers:unet")
    (here / "kl").mkdir()
    (here / "kl" / "config.json").write_text('{"_class_name": "AutoencoderKLL"}')
    with pytest.raises(ValueError, match="has no class 'AutoencoderKLL'"):
        load("diffusers:kl")


def graph(path, shape, weight, bias, names, out_shape, batch):
    """An ONNX graph of one affine map for each output."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [helper.make_node("Reshape", ["x", "flat"], ["rows"])]
    inits = [numpy_helper.from_array(np.array([-1, int(np.prod(shape))], dtype=np.int64), "flat")]
    for k, name in enumerate(names):
        inits += [numpy_helper.from_array(weight[k], f"w{k}"), numpy_helper.from_array(bias[k], f"b{k}")]
        nodes.append(helper.make_node("Gemm", ["rows", f"w{k}", f"b{k}"], [f"{name}_flat"]))
        inits.append(numpy_helper.from_array(np.array([-1, *out_shape], dtype=np.int64), f"to{k}"))
        nodes.append(helper.make_node("Reshape", [f"{name}_flat", f"to{k}"], [name]))
    row = [batch, *shape]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, row)]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *out_shape]) for name in names]
    made = helper.make_graph(nodes, "g", inputs, outputs, inits)
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.mark.parametrize("batch", [1, 7, "n"])
def test_onnx(here, batch):
    import onnxruntime

    rng = np.random.default_rng(0)
    draw = lambda *s: (0.3 * rng.standard_normal(s)).astype(np.float32)  # noqa: E731
    # The spread stands before the mean: names decide.
    graph("e.onnx", (1, 8, 8), [draw(64, 3), draw(64, 3)], [draw(3), draw(3)], ["z_log_var", "z_mean"], (3,), batch)
    graph("d.onnx", (3,), [draw(3, 64)], [draw(64)], ["image"], (1, 8, 8), batch)
    metrics = None if batch == 1 else "mse,kl"
    result = measured(load("onnx:e.onnx,d.onnx"), here / "page", **SOME, metrics=metrics)
    encoder, decoder = (onnxruntime.InferenceSession(p) for p in ("e.onnx", "d.onnx"))
    x = SOME["x_test"].numpy()
    size = batch if batch != "n" else len(x)
    recon = []
    for k in range(0, len(x) - len(x) % size, size):
        recon.append(decoder.run(None, {"x": encoder.run(["z_mean"], {"x": x[k : k + size]})[0]})[0])
    if len(x) % size:  # 100 images in batches of 7 leave 2: they fill a batch with others
        rest = np.concatenate([x[-(len(x) % size) :], x])[:size]
        recon.append(decoder.run(None, {"x": encoder.run(["z_mean"], {"x": rest})[0]})[0][: len(x) % size])
    assert result.value("mse") == pytest.approx(error(x, np.concatenate(recon)), rel=1e-5)


def test_onnx_refusals(here):
    Path("text.onnx").write_text("no graph")
    with pytest.raises(ValueError, match=r"onnx:text.onnx,text.onnx: cannot be read"):
        load("onnx:text.onnx,text.onnx")
    with pytest.raises(ValueError, match="1 files are named with commas between them; expected 2"):
        load("onnx:text.onnx")


def test_keras(here):
    import keras

    assert keras.backend.backend() == "torch"

    @keras.saving.register_keras_serializable("test_adapters")
    class Sampling(keras.layers.Layer):
        def call(self, given):
            mean, log_var = given
            return mean + keras.ops.exp(0.5 * log_var) * keras.random.normal(keras.ops.shape(mean))

    x = keras.Input((8, 8, 1))
    inner = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    inner = keras.layers.Flatten()(inner)
    mean, log_var = (keras.layers.Dense(3, name=name)(inner) for name in ("z_mean", "z_log_var"))
    encoder = keras.Model(x, [mean, log_var, Sampling(name="z")([mean, log_var])])
    z = keras.Input((3,))
    out = keras.layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid")(
        keras.layers.Reshape((8, 8, 2))(keras.layers.Dense(128, activation="relu")(z))
    )
    decoder = keras.Model(z, out)
    encoder.save("encoder.keras")
    decoder.save("decoder.keras")
    model = load("keras:encoder.keras,decoder.keras")
    assert (model.layout, model.posterior) == ("channels_last", "mean,log_var")
    result = measured(model, here / "page", **SOME, metrics="mse,r2,kl,path.*")
    last = SOME["x_test"].movedim(1, 3).numpy()
    recon = decoder.predict(encoder.predict(last, verbose=0)[0], verbose=0)
    assert result.value("mse") == pytest.approx(error(last, recon), rel=1e-5)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    plain.save("plain.keras")
    with pytest.raises(ValueError, match="the model has no layer 'encoder'"):
        load("keras:plain.keras")
    code = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda v: v * 2)])
    code.save("lambda.keras")
    with pytest.raises(ValueError, match=r"holds Python code \(a Lambda layer\).*--trust"):
        load("keras:lambda.keras,lambda.keras")
    assert load("keras:lambda.keras,lambda.keras", trust=True).name == "Keras"


def counts(cells=200, genes=20):
    rng = np.random.default_rng(0)
    kinds = rng.gamma(2.0, 2.0, (3, genes))
    size = rng.lognormal(0, 0.3, (cells, 1))
    return rng.poisson(rng.gamma(5.0, kinds[rng.integers(0, 3, cells)] * size / 5)).astype(np.float32) + np.eye(
        cells, genes, dtype=np.float32
    )


def test_scvi(here):
    import anndata
    import scvi

    x = counts()
    cells = anndata.AnnData(x)
    scvi.model.SCVI.setup_anndata(cells)
    own = scvi.model.SCVI(cells, n_latent=3, n_hidden=16)
    own.train(max_epochs=3, accelerator="cpu", enable_progress_bar=False)
    own.save("cells", save_anndata=True)
    own.save("bare")
    model = load("scvi:cells")
    result = measured(model, here / "page", x_test=x[:80], x_train=x, scale=None)

    own.module.eval()
    rows = torch.from_numpy(x[:80])
    tensors = {"X": rows, "batch": torch.zeros(80, 1).long(), "labels": torch.zeros(80, 1).long()}
    with torch.no_grad():
        found = own.module.inference(**own.module._get_inference_input(tensors))
        found["z"] = found["qz"].loc
        made = own.module.generative(**own.module._get_generative_input(tensors, found))
        own_loss = own.module.loss(tensors, found, made).reconstruction_loss
        own_loss = own_loss if isinstance(own_loss, torch.Tensor) else own_loss["reconstruction_loss"]
        density = model.log_likelihood(rows, found["z"])
        library = np.median(x[own.train_indices].sum(1))
        found["library"] = torch.full((80, 1), float(np.log(library)))
        recon = own.module.generative(**own.module._get_generative_input(tensors, found))["px"].mean
    torch.testing.assert_close(-density, own_loss, rtol=1e-5, atol=1e-5)
    assert result.value("mse") == pytest.approx(error(x[:80], recon), rel=1e-5)
    assert result.value("elbo") < 0

    with pytest.raises(ValueError, match="at which library size"):
        load("scvi:bare")
    with torch.no_grad():
        same = load(f"scvi:bare,{library}").decode(found["qz"].loc)
    torch.testing.assert_close(same, recon, rtol=1e-5, atol=1e-5)
    saved = torch.load("bare/model.pt", weights_only=False)
    saved["attr_dict"]["more"] = Evil()
    torch.save(saved, "bare/model.pt")
    with pytest.raises(ValueError, match=r"holds pickled objects \(.*\).*--trust"):
        load("scvi:bare,100")
    assert not Path("touched").exists()
    cells.obs["lane"] = [str(k % 2) for k in range(len(x))]
    scvi.model.SCVI.setup_anndata(cells, batch_key="lane")
    scvi.model.SCVI(cells, n_latent=3, n_hidden=16).save("lanes")
    with pytest.raises(ValueError, match="was trained with 2 batches"):
        load("scvi:lanes,100")


def test_torchscript(here):
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = torch.nn.Linear(64, 6), torch.nn.Linear(3, 64)

        @torch.jit.export
        def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_var = self.down(x.flatten(1)).chunk(2, 1)
            return mean, log_var

        @torch.jit.export
        def decode(self, z: torch.Tensor) -> torch.Tensor:
            return self.up(z).sigmoid().reshape(-1, 1, 8, 8)

    own = Both().eval()
    torch.jit.script(own).save("both.pt")
    result = measured(load("torchscript:both.pt"), here / "page", **SOME)
    with torch.no_grad():
        recon = own.decode(own.encode(SOME["x_test"])[0])
    assert result.value("mse") == pytest.approx(error(SOME["x_test"], recon), rel=1e-5)


SECTIONS = dict(
    re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", DOCS.read_text("utf-8") if DOCS.exists() else "", re.M | re.S)
)
WORKED = [title for title, text in SECTIONS.items() if "```python" in text]


@pytest.mark.parametrize("title", WORKED)
def test_the_worked_example(title, here, capsys):
    """The code of a section of docs/adapters.md runs as it stands, one block after the other, in one folder."""
    names = {}
    for kind, code in re.findall(r"^```(python|sh)\n(.*?)^```", SECTIONS[title], re.M | re.S):
        if kind == "python":
            exec(compile(code, f"{DOCS.name}: {title}", "exec"), names)
        else:
            for line in code.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                assert words[0] == "latentbench"
                assert main(words[1:]) == 0, capsys.readouterr().err


def test_every_adapter_has_a_worked_example():
    from latentbench.adapters import adapters

    text = DOCS.read_text("utf-8")
    assert [name for name in adapters() if f"{name}:" not in text] == []
    assert len(WORKED) >= len(adapters())
