"""Golden outputs: what a model answers to given frames, written down when the bundle is made."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inframe.bundle.making import put, read_recipe
from inframe.bundle.manifest import Golden, Recipe
from inframe.core.config import ModelConfig
from inframe.core.errors import ConfigError
from inframe.pipeline.model import load_model


def write_golden(path: Path) -> list[str]:
    """Run the models of a recipe on their golden frames and write the outputs, where there are none yet; returns what was written.
    Raises ConfigError."""
    recipe = read_recipe(path)
    written = []
    for number, one in enumerate(recipe.golden):
        out = path.parent / one.outputs
        if not out.exists():
            put(out, [_answers(path, recipe, number, one)], replacing=False)
            written.append(one.outputs)
    return written


def _answers(path: Path, recipe: Recipe, number: int, golden: Golden) -> bytes:
    frames = _frames(path, f"golden.{number}.frames", golden.frames)
    part = recipe.models[golden.model]
    engine = next(iter(recipe.compatibility.engines))
    settings = {key: getattr(part, key) for key in type(part).model_fields}
    config = ModelConfig.model_validate({**settings, "stream": "golden", "engine": {"name": engine}})
    model = load_model(golden.model, config, path.parent, (frames.shape[2], frames.shape[1]))
    try:
        answers = [model.raw(frame) for frame in frames]
    finally:
        model.close()
    data = io.BytesIO()
    np.savez(data, **{name: np.stack([answer[name] for answer in answers]) for name in answers[0]})  # type: ignore[arg-type]  # numpy's own
    return data.getvalue()


def _frames(path: Path, field: str, file: str) -> NDArray[np.uint8]:
    expected = "an npy file of (n, height, width, 3) uint8"
    try:
        with (path.parent / file).open("rb") as opened:
            frames = np.load(opened, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(path, field, error, expected) from None
    if (
        not isinstance(frames, np.ndarray)
        or frames.dtype != np.uint8
        or frames.ndim != 4
        or frames.shape[-1] != 3
        or not len(frames)
    ):
        raise ConfigError(path, field, f"{getattr(frames, 'shape', '')} {getattr(frames, 'dtype', '')}", expected)
    return np.ascontiguousarray(frames)
