"""Loads a run's `model.safetensors` into the reference class, in plain Python.

    python scripts/reference/load_checkpoint.py runs/nasdaq/model.safetensors
    python scripts/reference/load_checkpoint.py runs/nasdaq/model.safetensors --batch batch.safetensors --bar 1e-4

Needs torch and safetensors (tested with torch 2.15.0). The file's metadata holds the config under the reference's own names, so the weights
load with `strict=True`. With `--batch` it also compares outputs: a safetensors file of one packed batch with `sequences` [T, R, F],
`offsets` [dates + 1], optionally `mask` [R, R] (bool or uint8: row i may attend to row j) and `group` [R], and what the package
computed for it, `predictions` [R] or [R, P] and `risk_factors` [R, K]. Prints max|a - b| / max|b| and exits 1 where it exceeds `--bar`.

    from load_checkpoint import load_checkpoint
    model, metadata = load_checkpoint("model.safetensors")   # in evaluation mode
"""
from __future__ import annotations

import argparse
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file

sys.dont_write_bytecode = True  # no caches in the repository
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from astgnn_reference import ASTGNNFactorModel, Config  # noqa: E402

FORMAT_VERSION = "1"


def load_checkpoint(path: str | pathlib.Path, dtype: torch.dtype | None = None) -> tuple[ASTGNNFactorModel, dict[str, str]]:
    """-> the model in evaluation mode, in the file's dtype unless told otherwise, and the file's metadata."""
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path}: format_version {metadata.get('format_version')}, expected {FORMAT_VERSION}")
    state = load_file(str(path))
    model = ASTGNNFactorModel(Config(**json.loads(metadata["config"])))
    model.to(dtype or next(v.dtype for v in state.values() if v.is_floating_point()))
    model.load_state_dict(state, strict=True)
    return model.eval(), metadata


def largest_error(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def compare(model: ASTGNNFactorModel, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Largest relative differences of predictions and M between the reference and the batch's own."""
    dtype = next(model.parameters()).dtype
    mask, group = batch.get("mask"), batch.get("group")
    with torch.no_grad():
        out = model(batch["sequences"].to(dtype), batch["offsets"].tolist(), None if mask is None else mask.bool(), None if group is None else group.long())
    return {"predictions": largest_error(batch["predictions"].reshape(out["predictions"].shape), out["predictions"]),
            "risk_factors": largest_error(batch["risk_factors"], out["risk_factors"])}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("checkpoint", type=pathlib.Path)
    arguments.add_argument("--batch", type=pathlib.Path, help="one packed batch and the package's outputs for it")
    arguments.add_argument("--bar", type=float, default=1e-4, help="largest relative difference allowed (default 1e-4)")
    arguments.add_argument("--float64", action="store_true", help="run the reference in float64 whatever the file holds")
    options = arguments.parse_args()
    model, metadata = load_checkpoint(options.checkpoint, torch.float64 if options.float64 else None)
    print(f"{options.checkpoint}: {sum(p.numel() for p in model.parameters())} parameters loaded with strict=True, metadata {sorted(metadata)}")
    if options.batch is None:
        return
    errors = compare(model, load_file(str(options.batch)))
    for name, error in errors.items():
        print(f"{name}: max|a - b| / max|b| = {error:.2e}")
    if not all(error <= options.bar for error in errors.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
