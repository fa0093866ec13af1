"""What two processes do together for the tests of this folder: each writes what it got into a folder of its own.

Started as `python worker.py FOLDER`, with the environment that `torchrun` would set.
"""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from twotower.errors import BadInput, WorkerLost
from twotower.models.two_tower.estimator import TwoTower
from twotower.models.two_tower.fitting import Fitting
from twotower.models.two_tower.item_net import ItemNet
from twotower.models.two_tower.joint_task import JointTask
from twotower.models.two_tower.objective import Objective
from twotower.models.two_tower.options import FeatureOptions, TowerOptions, TrainOptions
from twotower.nn.distributed import Workers, gather_rows, process_group, sum_over
from twotower.nn.embeddings import FieldEmbeddings, LinearFields
from twotower.nn.sharded_tables import RowShard, clip_gradients, join_tables, sharding, shards_of
from twotower.nn.tensors import BagTensors, FeatureTensors
from twotower.testing import two_tastes
from twotower.training.context import FitContext
from twotower.training.loop import Trainer

TOWERS = TowerOptions(
    dim=8, history_layers=1, history_length=6, dropout=0.0, rank_dropout=0.0, identity_dropout=0.0
)  # fmt: skip
TRAINING = TrainOptions(epochs=2, batch_size=128, patience=None, lr=0.01, validation_users=20, validation_candidates=20)
REFERENCE = {"preference": "bce", "negatives": ("uniform",), "n_negatives": 1}
JOINT = {
    "preference": "softmax", "similarity": "affine", "similarity_weight": 0.1, "retrieval_weight": 1.0,
    "negatives": ("hard", "uniform"), "n_negatives": 4, "n_hard": 10, "rank_positions": 40,
}  # fmt: skip
FITS = {
    "joint, whole catalogue": (Objective(**JOINT), TRAINING),
    "joint, sampled": (Objective(**JOINT, retrieval_candidates=16), TRAINING),
    "multi_cos": (Objective(**REFERENCE, similarity="raw"), TRAINING),
    "multi_cos_affine": (Objective(**REFERENCE, similarity="affine"), TRAINING),
    "sharded": (Objective(**JOINT, retrieval_candidates=16), replace(TRAINING, shard_tables_from=3)),
    "row-wise": (Objective(**JOINT, retrieval_candidates=16), replace(TRAINING, row_wise_from=3)),
    "sharded, row-wise": (
        Objective(**JOINT, retrieval_candidates=16),
        replace(TRAINING, shard_tables_from=3, row_wise_from=3),
    ),
}
"""What is fitted by one process and by two; dropout is 0, since its draws belong to processes."""
STEPS = FITS | {
    "one window a batch": (Objective(**JOINT, retrieval_candidates=4), replace(TRAINING, batch_size=1)),
    "one position for RankNet": (Objective(**JOINT | {"rank_positions": 1}), TRAINING),
    "by category": (
        Objective(**REFERENCE | {"negatives": ("same_category", "popularity"), "n_negatives": 5}),
        TRAINING,
    ),
    "features only": (Objective(**JOINT, retrieval_candidates=1), TRAINING),
}
"""Of these the first steps are compared as well: nothing is left for the second process, other negatives, few items."""
RESUMED = ("joint, sampled", "sharded", "row-wise", "sharded, row-wise")
KILLED_AFTER = 7
"""Steps, of 5 an epoch."""
N_ROWS, DIM = 40, 16
FEATURES = {"city": 37, "tags": 50}
WANTED = [torch.tensor([0, 5, 5, 36, 2, 1]), torch.tensor([36, 0, 7])]
"""Rows that process 0 and 1 look up."""


class Killed(Exception):
    """Stands for a kill of all processes."""


def kill_after(steps: int | None) -> None:
    """Lets every training from now on end at a step; None lets it live."""
    usual = getattr(JointTask, "_usual_loss", JointTask._loss)
    left = iter(range(steps)) if steps is not None else None

    def mortal(self, batch, rng):
        if left is not None and next(left, None) is None:
            raise Killed
        return usual(self, batch, rng)

    JointTask._usual_loss, JointTask._loss = usual, mortal


class Caught(Exception):
    """Carries what was to be trained."""


def task_of(name: str, workers: Workers) -> JointTask:
    """The task of a fit that does not begin."""
    objective, training = STEPS[name]
    towers = replace(TOWERS, history=None) if name == "features only" else TOWERS
    split = two_tastes()
    split = replace(split, dataset=replace(split.dataset, category="taste"))

    def caught(_trainer, task, context, watch):
        raise Caught(task)

    usual, Trainer.fit = Trainer.fit, caught
    try:
        Fitting(towers, FeatureOptions(), objective, training).run(split, None, FitContext(workers=workers))
    except Caught as found:
        return found.args[0]
    finally:
        Trainer.fit = usual


def first_steps(name: str, workers: Workers) -> dict[str, torch.Tensor]:
    """Loss and gradients of the first batches, all at the first weights."""
    task, found = task_of(name, workers), {}
    task.start_epoch(0, {})
    for number, (_, step) in zip(range(2), task.batches(0, 0), strict=False):
        task.module.zero_grad()
        loss, parts = step()
        loss.backward()
        gradients = {
            n: p.grad.coalesce() if p.grad.is_sparse else p.grad
            for n, p in task.module.named_parameters()
            if p.grad is not None
        }
        workers.add_up_all([g for n, g in gradients.items() if n not in shards_of(task.module)])
        sums = workers.sums({"loss": loss.item(), **parts})
        found |= {f"{number}/{n}": g.to_dense().clone() for n, g in gradients.items()}
        found |= {f"{number}/{n}": torch.tensor(value) for n, value in sums.items()}
    return found


def estimator(name: str, **training) -> TwoTower:
    objective, options = FITS[name]
    return TwoTower(towers=TOWERS, objective=objective, training=replace(options, **training))


def features(rank: int, width: int = 0) -> FeatureTensors:
    """Features of the wanted rows of a process: one code, and one bag of two weighted codes each."""
    codes = WANTED[rank]
    bags = torch.stack([codes, (codes * 7 + 1) % FEATURES["tags"]], 1).flatten()
    weights = torch.linspace(0.1, 0.9, len(bags))
    offsets = torch.arange(0, len(bags) + 1, 2)
    return FeatureTensors({"city": codes, "tags": BagTensors(bags, weights, offsets)}, torch.zeros(len(codes), width))


def networks() -> dict[str, torch.nn.Module]:
    """Modules with tables, all drawn from one seed."""
    torch.manual_seed(3)
    return {
        "fields": FieldEmbeddings(FEATURES, 0),
        "wide": LinearFields(FEATURES),
        "item_net": ItemNet(sizes={}, n_continuous=0, n_identities=N_ROWS - 1, dim=DIM),
    }


def looked_up(made: dict[str, torch.nn.Module], rank: int) -> torch.Tensor:
    """A loss on what a process's rows give, each output with a weight of its own."""
    asked = features(rank)
    parts = [made["fields"](asked), made["wide"](asked)[:, None], made["item_net"](asked, WANTED[rank])]
    both = torch.cat(parts, 1)
    return (both * torch.linspace(-1, 1, both.numel()).view_as(both)).sum()


def primitives(workers: Workers) -> dict[str, torch.Tensor]:
    """Gathered rows and summed values, with the gradients of a loss that differs by process."""
    found = {}
    for name, counts in {"uneven": (1, 3), "none": (0, 2)}.items():
        own = torch.arange(counts[workers.rank] * 2.0).view(-1, 2) + 10 * workers.rank
        own.requires_grad_()
        rows = gather_rows(workers, own)
        (rows * (1 + workers.rank) * torch.arange(rows.numel()).view_as(rows)).sum().backward()
        found |= {f"{name}/rows": rows.detach(), f"{name}/gradient": own.grad}
    value = torch.tensor(3.0 + workers.rank, requires_grad=True)
    total = sum_over(workers, value)
    (total**2 / workers.size).backward()
    gradients = [torch.full((2, 3), 1.0 + workers.rank), torch.full((4,), 10.0 * workers.rank)]
    workers.add_up_all(gradients)
    found |= {"total": total.detach(), "total/gradient": value.grad, "a": gradients[0], "b": gradients[1]}
    return found


def told(workers: Workers, folder: Path) -> dict[str, object]:
    """What the processes say to each other in words and numbers."""
    figures = [workers.from_leader(figure if workers.leads else -1.0) for figure in (None, 0.25, 0.0)]
    with workers.leader_first():
        seen = (folder / "by-the-leader").exists()
        if workers.leads:
            (folder / "by-the-leader").touch()
    try:
        workers.check_same("weights", [torch.full((3,), float(workers.rank)).numpy()])
        refused = ""
    except BadInput as error:
        refused = str(error)
    workers.check_same("weights", [torch.ones(3).numpy()])
    sums = workers.sums({"loss": 1.5, "n": float(workers.rank)})
    return {
        "figures": figures,
        "seen": seen,
        "refused": refused,
        "sums": sums,
        "block": workers.block(torch.arange(5).numpy()).tolist(),
    }


def tables(workers: Workers) -> dict[str, torch.Tensor]:
    """Sharded tables: fresh rows, values, gradients, their norm, and the tables joined."""
    with sharding(workers, 30):
        made = networks()
    modules = torch.nn.ModuleDict(made)
    assert len(shards_of(modules)) == 5
    found = {f"fresh/{n}": p.detach().clone() for n, p in modules.named_parameters() if isinstance(p, RowShard)}
    loss = looked_up(made, workers.rank)
    loss.backward()
    found |= {f"gradient/{n}": p.grad.clone() for n, p in shards_of(modules).items()}
    workers.add_up_all([p.grad for p in modules.parameters() if p.grad is not None and not isinstance(p, RowShard)])
    found |= {"loss": loss.detach(), "norm": torch.tensor(clip_gradients(list(modules.parameters()), workers, 0.5))}
    found |= {f"clipped/{n}": p.grad.clone() for n, p in shards_of(modules).items()}
    join_tables(modules)
    return found | {
        f"joined/{n}": p.detach().clone() for n, p in modules.named_parameters() if not isinstance(p, RowShard)
    }


def fits(workers: Workers, folder: Path) -> dict[str, object]:
    """The curve of every fit, of a fit that goes on from one process, and checkpoints of two for one to go on from."""
    split, curves = two_tastes(), {}
    for name in FITS:
        model = estimator(name).fit(split, FitContext(workers=workers))
        curves[name] = model.progress[0].history
        if workers.leads:
            model.save(folder / "models" / name)
    for name in RESUMED:
        resumed = estimator(name).fit(split, FitContext(folder / "by one" / name, workers=workers))
        curves[f"resumed {name}"] = resumed.progress[0].history
        kill_after(KILLED_AFTER)
        try:
            estimator(name, checkpoint_seconds=-1.0).fit(split, FitContext(folder / "by two" / name, workers=workers))
        except Killed:
            kill_after(None)
        again = folder / "by two again" / name
        workers.wait()
        if workers.leads:
            shutil.copytree(folder / "by two" / name, again)
        workers.wait()
        curves[f"again {name}"] = estimator(name).fit(split, FitContext(again, workers=workers)).progress[0].history
    return curves


def lost(workers: Workers) -> str:
    """What is said when another process is gone."""
    try:
        workers.wait()
    except WorkerLost as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with process_group() as workers:
        own = folder / str(workers.rank)
        own.mkdir()
        save_file({n: t.contiguous() for n, t in primitives(workers).items()}, own / "primitives.safetensors")
        save_file({n: t.contiguous() for n, t in tables(workers).items()}, own / "tables.safetensors")
        (own / "told.json").write_text(json.dumps(told(workers, folder)))
        for name in STEPS:
            save_file(first_steps(name, workers), own / f"{name}.safetensors")
        (own / "fits.json").write_text(json.dumps(fits(workers, folder)))
        if not workers.leads:
            os._exit(0)  # without a word
        (own / "lost.json").write_text(json.dumps(lost(workers)))
        os._exit(0)  # torch may abort while it leaves a group whose other process is gone


if __name__ == "__main__":
    main(Path(sys.argv[1]))
