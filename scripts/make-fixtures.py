"""Makes parity fixtures from the reference: what the native core is held to.

    python scripts/make-fixtures.py --seed 0 --cases 16 --out test/parity/fixtures
    ASTGNN_PARITY_FIXTURES=DIR npx vitest run test/parity

Needs torch 2.15.0, numpy and safetensors. Draws C random configurations, panels, graphs, ragged batches and objectives over every option
(scripts/fixtures/draw.py) and writes one safetensors file per case; every fourth case also holds ten AdamW steps. Dropout is 0. Inputs and
initial weights are exact in float32 and stored as such; expected values are the reference's in float64 (scripts/fixtures/truth.py).

Never drawn: top_k with gat_residual none or more than 33 stocks on a date, and norm batch with fewer than 2 rows. Beyond that a draw is rejected only where the reference
itself shows that rounding decides it (scripts/fixtures/stability.py states the rule); how many were is printed by reason.

A file holds, with R rows of its batch, `features` [dates, stocks, F], `row_offsets`, `row_stocks`, `targets` [dates, stocks, L], `returns`
[dates, stocks], `return_ends` [dates], `groups`, `edges` [4, E] (source, target, from, to), `state.*` (initial state dict), `forward.*`
(evaluation mode on `batch`), `objective.<i>.*` (training mode: predictions, risk_factors, gradient.*; a gradient that is absent is 0) and
`steps.*`: weights, average and gradients of each step, flattened in the order of the names in the metadata. Metadata: `format`, `config`
(the reference's keys), `layout`.
"""
import argparse
import collections
import copy
import dataclasses
import json
import math
import pathlib
import random
import sys

import numpy as np
import torch
from safetensors.numpy import save

sys.dont_write_bytecode = True  # no caches in the repository
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fixtures.draw import LOSS_NAMES, Case, Decks, draw_case, draw_objective, draw_term  # noqa: E402
from fixtures.stability import Stability  # noqa: E402
from fixtures.truth import draw_model, forward_values, pack, step_values, terms_by_date, train_ten  # noqa: E402

FORMAT = "astgnn-parity-1"
ATTEMPTS = 40  # with the same options, before a case's options are drawn anew
EVERY_STEPS = 4


def finite_or_none(value):
    if isinstance(value, dict):
        return {k: finite_or_none(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_none(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat(steps: list[dict], kind: str, names: list[str], shapes: dict[str, torch.Tensor]) -> np.ndarray:
    """[steps, entries]: the named tensors one after the other, 0 where a step has none."""
    row = lambda step: torch.cat([step[kind].get(n, torch.zeros_like(shapes[n])).reshape(-1) for n in names])  # noqa: E731
    return torch.stack([row(step) for step in steps]).numpy()


def in_order(data: bytes) -> bytes:
    """The package writes metadata in random order; sorted, the same seed gives the same bytes."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length:]


def write(path: pathlib.Path, case: Case, model, truth: dict, steps: list[dict]) -> None:
    state, parameters = model.state_dict(), dict(model.named_parameters())
    floats = [n for n, v in state.items() if v.is_floating_point()]
    tensors = {"features": case.features, "row_offsets": case.row_offsets, "row_stocks": case.row_stocks, "targets": case.targets,
               "returns": case.returns, "return_ends": case.return_ends}
    tensors |= {f"state.{n}": (v.float() if n in floats else v).numpy() for n, v in state.items()}
    tensors |= {name: value for name, value in (("groups", case.groups), ("edges", case.edges)) if value is not None}
    tensors |= {f"forward.{n}": v.numpy() for n, v in truth["forward"].items()}
    objectives = []
    for i, (objective, value) in enumerate(zip(case.objectives, truth["objectives"])):
        tensors |= {f"objective.{i}.{n}": value[n].numpy() for n in ("predictions", "risk_factors")}
        if i < 2:
            tensors |= {f"objective.{i}.gradient.{n}": g.numpy() for n, g in value["gradients"].items()}
        objectives.append({**objective, "gradients": i < 2, "loss": value["loss"], "values": value["terms"], "undefined": value["undefined"]})
    layout = {"window": case.window, "horizons": case.horizons, "graph": case.graph, "batch": case.batch, "objectives": objectives,
              "loss_terms": case.loss_terms, "parameters": list(parameters), "buffers": [n for n in floats if n not in parameters]}
    if steps:
        tensors["steps.weights"] = flat(steps, "weights", floats, state)
        tensors["steps.average"] = flat(steps, "average", floats, state)
        tensors["steps.gradients"] = flat(steps, "gradients", list(parameters), parameters)
        tensors |= {f"steps.{s}.{n}": step[n].numpy() for s, step in enumerate(steps) for n in ("predictions", "risk_factors")}
        recorded = [{"loss": s["loss"], "values": s["terms"], "undefined": s["undefined"], "norm": s["norm"], "updated": s["updated"]} for s in steps]
        layout["training"] = {**case.training, "floats": floats, "steps": recorded}
    config = dataclasses.asdict(case.config)
    data = save({n: np.ascontiguousarray(t) if t.ndim else t for n, t in tensors.items()},
                metadata={"format": FORMAT, "config": json.dumps(config), "layout": json.dumps(finite_or_none(layout))})
    path.write_bytes(in_order(data))


def choose_terms(case: Case, stability: Stability, model, features: torch.Tensor, truth: dict, rng: random.Random, reasons: collections.Counter) -> None:
    """Every loss alone, date by date; a loss that rounding decides in all its draws is left out of this case."""
    packed = pack(case, features, case.batch)
    for name in LOSS_NAMES:
        for _ in range(6):
            term = draw_term(rng, name, case.config.num_predictions, case.horizons, 1.0)
            values = terms_by_date([term], model, truth["forward"], packed)
            reason = stability.term(term, values)
            if reason is None:
                case.loss_terms.append(term)
                truth["terms"].append(values)
                break
            reasons[reason] += 1


def choose_objectives(case: Case, stability: Stability, model, features: torch.Tensor, truth: dict, single: str, rng: random.Random,
                      reasons: collections.Counter) -> bool:
    """A mixed objective, one of a single term and one of as many terms as stay stable together. False where there are no such three."""
    stable = [term["name"] for term in case.loss_terms]
    for kind in ("mixed", "single", "all"):
        names = list(stable)
        for attempt in range(10):
            if kind == "mixed":
                names = rng.sample(stable, min(len(stable), rng.randint(2, 4)))
            elif kind == "single":
                names = [single if attempt < 4 else rng.choice(LOSS_NAMES)]
            elif attempt % 3 == 2 and len(names) > 2:
                names.remove(rng.choice(names))
            objective = draw_objective(case, rng, names)
            value = step_values(copy.deepcopy(model), case, features, objective["dates"], objective["terms"])
            reason = stability.objective(objective, value) if math.isfinite(value["loss"]) and value["gradients"] else "objective: no term defined"
            if reason is None:
                case.objectives.append(objective)
                truth["objectives"].append(value)
                break
            reasons[reason] += 1
        else:
            return False
    return True


def make_case(hand: dict, seed: str, number: int, with_steps: bool, reasons: collections.Counter) -> tuple | None:
    """-> case, model, truth, steps; None where rounding decides."""
    case, rng = draw_case(hand, seed, with_steps), random.Random(f"{seed} objectives")
    model, features = draw_model(case, number).double(), torch.from_numpy(case.features).double()
    stability = Stability(model, case, features, number)
    truth = {"forward": forward_values(copy.deepcopy(model), case, features), "terms": [], "objectives": []}
    reason = stability.forward(truth["forward"])
    steps = train_ten(model, case, features) if reason is None and case.training else []
    if reason is None and steps:
        reason = stability.steps(steps)
    if reason is not None:
        reasons[reason] += 1
        return None
    choose_terms(case, stability, model, features, truth, rng, reasons)
    if not choose_objectives(case, stability, model, features, truth, hand["loss"], rng, reasons):
        return None
    truth["forward"]["terms"] = torch.cat(truth["terms"], dim=1)
    return case, model, truth, steps


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--cases", type=int, default=16)
    arguments.add_argument("--out", type=pathlib.Path, required=True)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    decks, reasons, drawn = Decks(options.seed), collections.Counter(), 0
    for index in range(options.cases):
        with_steps = index % EVERY_STEPS == 0
        hand, attempt, made = decks.hand(with_steps), 0, None
        while made is None:
            if attempt == ATTEMPTS:
                print(f"case {index}: new options after {attempt} draws of {hand}", flush=True)
                hand, attempt = decks.hand(with_steps), 0
            attempt, drawn = attempt + 1, drawn + 1
            made = make_case(hand, f"{options.seed} {index} {drawn}", drawn, with_steps, reasons)
        case, model, truth, steps = made
        path = options.out / f"case-{options.seed}-{index:03}.safetensors"
        write(path, case, model, truth, steps)
        print(f"{path} {path.stat().st_size // 1024} KiB, draw {attempt}: rows {case.row_offsets[-1]}, K {case.config.num_risk_factors}, graph {case.graph}, "
              f"norm {case.config.norm}, residual {case.config.gat_residual}, top_k {case.config.top_k}, steps {len(steps)}, "
              f"objectives {[[t['name'] for t in o['terms']] for o in case.objectives]}", flush=True)
    print(f"{options.cases} cases from {drawn} draws of a case; rejected because rounding decides: {dict(reasons)}")


if __name__ == "__main__":
    main()
