"""Models trained without some of the tensors, each run kept when it is done (SPEC C34)."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from retailsim.artifacts import SAMPLE_TABLES
from retailsim.atomic import atomic
from retailsim.config import Config
from retailsim.evaluation.metrics import Metrics
from retailsim.manifest import fingerprint
from retailsim.model.lookup import Tables
from retailsim.training import checkpoint as checkpoints
from retailsim.training.ablation import TENSORS, ranks_with, without_config, without_samples, without_tables
from retailsim.training.device import choose_device
from retailsim.training.fabric import make_fabric
from retailsim.training.loop import fit
from retailsim.training.made_from import model_of
from retailsim.training.protocol import Protocol
from retailsim.training.run import Run
from retailsim.training.samples import load_samples
from retailsim.training.tables import FILES, load_tables
from retailsim.vocab import Vocabulary

Say = Callable[[str], None]  # is told of each run that begins, goes on or was kept
OnStep = Callable[[str, int, int], None]  # what is trained, steps done of its epoch and steps in all


def runs(with_synergy: bool) -> dict[str, tuple[str, ...]]:
    """Name of each run and the tensors it goes without."""
    found: dict[str, tuple[str, ...]] = {"full": (), **{f"without {tensor}": (tensor,) for tensor in TENSORS}}
    if with_synergy:
        found["without all"] = TENSORS
        found |= {f"only {tensor}": tuple(t for t in TENSORS if t != tensor) for tensor in TENSORS}
    return found


class Trainer:
    """Trains, evaluates and keeps the runs of an ablation; one that was stopped goes on where it was.

    Args:
        root: data root.
        folder: where each run has a folder with its checkpoints and result.json.
        vocabulary: the products.
        protocol: baskets on which every run is measured.
        config: of the whole model; a run differs in what it goes without, and in its seed.
        device: as `--device`.
    """

    def __init__(
        self, root: Path, folder: Path, vocabulary: Vocabulary, protocol: Protocol, config: Config, device: str
    ) -> None:
        self._root, self._folder, self._vocabulary, self._protocol = root, folder, vocabulary, protocol
        self._config, self._device = config, device
        ids = "\n".join(protocol.samples.columns["basket_id"])
        self._baskets = hashlib.blake2b(ids.encode(), digest_size=16).hexdigest()  # on which is measured
        self._data = {file.path: fingerprint(file.at(root)) for file in (*SAMPLE_TABLES.values(), *FILES)}

    def results(self, seeds: int, with_synergy: bool, say: Say, on_step: OnStep) -> dict[str, list[dict[str, Any]]]:
        """Metrics of every run and seed."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name, missing in runs(with_synergy).items():
            for seed in range(seeds):
                found.setdefault(name, []).append(self.result(name, missing, seed, say, on_step))
        return found

    def result(self, name: str, missing: Sequence[str], seed: int, say: Say, on_step: OnStep) -> dict[str, Any]:
        """Metrics of one run, trained now or kept from before; training raises Stopped when the process is asked to end."""
        folder = self._folder / f"{name.replace(' ', '_')}_seed{seed}"
        config = without_config(self._config.with_train(seed=seed), missing)
        key = {
            "format": checkpoints.FORMAT,  # a model that computes otherwise is another model,
            "optimizer": 2,  # and so is one that was trained otherwise: 2 spares biases, norms and gains from decay
            "config": config.to_json(),
            "without": list(missing),
            "data": self._data,
        }
        key = json.loads(json.dumps(key))
        path = folder / "result.json"
        kept = _kept(path)
        title = f"{name}, seed {seed}"
        measured = kept["metrics"] if kept.get("key") == key else {}
        if self._baskets in measured:
            say(f"{title}: kept")
            return measured[self._baskets]
        if kept.get("key") != key:
            folder.mkdir(parents=True, exist_ok=True)
            for checkpoint in folder.glob("*.pt"):  # of other data, or another model
                checkpoint.unlink()
            _keep(path, key, {})
        tables = without_tables(load_tables(self._root), missing)
        if measured:
            say(f"{title}: measured on other baskets")
        else:
            begun, newest, _ = checkpoints.find(folder, self._vocabulary)
            best = checkpoints.find_best(folder, newest, begun, self._vocabulary) if begun else None
            say(f"{title}: {'going on' if begun else 'training'}")
            self._train(
                config, missing, tables, folder, begun, best,
                lambda epoch, done, total: on_step(f"{title}, epoch {epoch}/{config.train.epochs}", done, total),
            )  # fmt: skip
        measured[self._baskets] = self._measure(config, missing, tables, folder)
        _keep(path, key, measured)
        return measured[self._baskets]

    def _train(
        self,
        config: Config,
        missing: Sequence[str],
        tables: Tables,
        folder: Path,
        begun: dict[str, Any] | None,
        best: Path | None,
        on_batch: Callable[[int, int, int], None],
    ) -> None:
        train, val = (without_samples(load_samples(self._root, split), missing) for split in ("train", "val"))
        run = Run(folder, make_fabric(self._device))
        fit(config, tables, self._vocabulary, train, val, run, begun, best, on_batch, lambda report: None)

    def _measure(self, config: Config, missing: Sequence[str], tables: Tables, folder: Path) -> dict[str, Any]:
        device = choose_device(self._device)
        best = folder / "best_model.pt"
        model = model_of(best, checkpoints.load(best, self._vocabulary), tables, self._vocabulary).to(device)
        asked = replace(self._protocol, samples=without_samples(self._protocol.samples, missing))
        ranks = ranks_with(model, asked, config.train.batch_size, device, is_trip_known="T6" not in missing)
        return Metrics.from_ranks(ranks).to_json()


def _kept(path: Path) -> dict[str, Any]:
    """What `_keep` wrote to `path`; nothing where there is no such file, or none that is whole."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    is_whole = isinstance(record, dict) and isinstance(record.get("metrics"), dict)
    return record if is_whole else {}


def _keep(path: Path, key: dict[str, Any], metrics: dict[str, dict[str, Any]]) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps({"key": key, "metrics": metrics}, indent=1) + "\n", encoding="utf-8")
