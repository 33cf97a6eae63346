"""Small real bundles whose encoders and quantizer can place new items: random weights, an ID space for each seed."""

import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from PIL import Image
from safetensors.numpy import save_file

from model.assignment import assign
from model.bundle import space_hash
from model.catalog import Catalog
from model.encoders import descriptor, save_encoder
from model.encoders.picture import PictureEncoder, PictureState
from model.encoders.terms import TermConfig
from model.encoders.tfidf import TfidfEncoder, TfidfState
from model.generator import Generator, GeneratorConfig
from model.imputation import Imputer
from model.item_inputs import ItemInputs
from model.quantizer import CrossModalQuantizer, QuantizerConfig
from model.semantic_ids import IdSpace
from tests.bundles import MAX_HISTORY, SIZES, export_generator, graph_properties, write_random_bundle
from training.onnx_quantizer import export_quantizer

WORDS = [f"word{number}" for number in range(30)]
TEXT_DIM, IMAGE_DIM = 6, 5


def inputs_of(item: int) -> ItemInputs:
    """What is told of item ``item``: words of its own; every third has a picture too."""
    words = np.random.default_rng(item).choice(WORDS, 4)
    return ItemInputs(
        title=f"Item {item}",
        text=" ".join(words),
        category=("even" if item % 2 == 0 else "odd",),
        price=float(item),
        image=picture(item) if item % 3 == 0 else None,
    )


def picture(seed: int) -> bytes:
    """A PNG of random blocks."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def write_live_bundle(folder: Path, items: int = 20, seed: int = 0, levels: int = 3, codes: int = 8) -> Path:
    """Writes a bundle with items ``base-0``, ``base-1``, ... and returns its folder."""
    space = IdSpace(("text", "image"), levels=levels, codes=codes)
    quantizer = _quantizer(space, seed)
    codebooks = np.stack([quantizer.part(part).quantizer.codebooks.detach().numpy() for part in range(2)])
    name = space_hash(space, codebooks)
    properties = graph_properties(space, name)
    rng = np.random.default_rng(seed)
    embeddings = (rng.standard_normal((items, TEXT_DIM)), rng.standard_normal((items, IMAGE_DIM)))
    rows = tuple(torch.from_numpy(values.astype(np.float32)) for values in embeddings)
    with torch.no_grad():
        latents = [quantizer.encode(part, values).numpy() for part, values in enumerate(rows)]
    ids = np.stack([assign(latents[part], codebooks[part]).codes for part in range(2)])

    def fill(partial: Path) -> None:
        _write_generator(space, partial / "generator.onnx", properties)
        export_quantizer(quantizer, rows, partial / "quantizer.onnx", properties)
        save_file(dict(zip(space.modalities, codebooks, strict=True)), partial / "codebooks.safetensors")
        _save_encoders(partial / "encoders", seed)
        (partial / "catalog").mkdir()
        told = [(f"base-{item}", inputs_of(1000 + item).metadata()) for item in range(items)]
        Catalog.build(space, ids, told, np.arange(items, 0, -1), name).save(partial / "catalog")

    return write_random_bundle(folder, fill, space, name)


def _write_generator(space: IdSpace, path: Path, properties: dict[str, str]) -> None:
    """A generator of random weights, the same for all spaces of one size: exporting one takes a while."""
    model = onnx.load_from_string(_exported(space))
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, path)


@cache
def _exported(space: IdSpace) -> bytes:
    torch.manual_seed(0)
    config = GeneratorConfig(space=space, prompted_tasks=4, max_history=MAX_HISTORY, sizes=SIZES)
    codes = np.random.default_rng(0).integers(0, space.codes, (2, 20, space.levels), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        export_generator(Generator(config).eval(), codes, path, {})
        return path.read_bytes()


def _quantizer(space: IdSpace, seed: int) -> CrossModalQuantizer:
    torch.manual_seed(seed)
    config = QuantizerConfig(
        modalities=space.modalities,
        inputs=(TEXT_DIM, IMAGE_DIM),
        levels=space.levels,
        codes=space.codes,
        projection=8,
        widths=(8,),
        latent=4,
    )
    quantizer = CrossModalQuantizer(config).eval()
    for part in range(2):
        shrink = 0.5 ** torch.arange(space.levels)[:, None, None]
        books = quantizer.part(part).quantizer.codebooks
        books.data = torch.randn(books.shape) * shrink
    return quantizer


def _save_encoders(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed + 1)
    width = sum(descriptor.DIMS)
    text = TfidfEncoder(
        TfidfState(dim=TEXT_DIM, terms=TermConfig()),
        WORDS,
        _normal(rng, len(WORDS)) ** 2,
        _normal(rng, len(WORDS), TEXT_DIM),
    )
    image = PictureEncoder(
        PictureState(dim=IMAGE_DIM),
        _normal(rng, width),
        np.ones(width, dtype=np.float32),
        _normal(rng, width, IMAGE_DIM),
    )
    save_encoder(text, folder / "text")
    save_encoder(image, folder / "image")
    Imputer(
        means={"text": _normal(rng, TEXT_DIM), "image": _normal(rng, IMAGE_DIM)},
        deviations={"text": np.ones(TEXT_DIM, dtype=np.float32), "image": np.ones(IMAGE_DIM, dtype=np.float32)},
        maps={
            ("text", "image"): _normal(rng, TEXT_DIM, IMAGE_DIM),
            ("image", "text"): _normal(rng, IMAGE_DIM, TEXT_DIM),
        },
    ).save(folder / "imputation.safetensors")


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return rng.standard_normal(shape).astype(np.float32)
