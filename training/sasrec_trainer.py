"""The training of one SASRec: epochs until validation stops rising or the time is used up, with exact resume."""

import logging
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from model.config import Config
from model.errors import DataError
from training.baselines import Baseline, target_ranks
from training.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint
from training.devices import Device, Precision, mixed_precision, pick_device, training_clock
from training.metrics import gains, hits
from training.run_log import RunLog
from training.sasrec import Sasrec, SasrecSizes
from training.sasrec_windows import draw_windows, gather
from training.split import Part, Split

log = logging.getLogger(__name__)

WEIGHTS_FILE = "sasrec.safetensors"
CHECKPOINT_FILE = "checkpoint.pt"
SCORED_ROWS = 256

Ended = Literal["patience", "minutes", "epochs"]


class SasrecTraining(Config):
    """How one SASRec is trained.

    Attributes:
        positions: about how many positions a step predicts.
        learning_rate: AdamW's, after a linear warm-up of ``warmup`` steps.
        epochs: at most.
        patience: epochs without a better NDCG@10 on validation before training stops; with a thousand users
            validation is so noisy that ten would stop too early.
        max_minutes: of training (:func:`training.devices.training_clock`) after which no further epoch starts; 0 is no
            limit.
        seed: of weights, windows and dropout.
        device: where to train.
        precision: bfloat16 where the hardware has it, if ``auto``.
        threads: CPU threads; 0 leaves torch's default.
    """

    positions: int = 2048
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.01
    epochs: int = 300
    patience: int = 20
    max_minutes: float = 0.0
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    threads: int = 0


class Fitted(NamedTuple):
    """How a training went: its best validation, epochs in all, the best one, seconds, and why it ended."""

    ndcg: float
    hit_rate: float
    epochs: int
    best_epoch: int
    seconds: float
    ended: Ended


class SasrecScorer:
    """A trained SASRec as something that scores the catalog (:class:`training.baselines.Baseline`)."""

    def __init__(self, model: Sasrec, split: Split) -> None:
        """``model`` on its device, and the split whose users are scored."""
        self.model, self.split = model.eval(), split

    @torch.inference_mode()
    def scores(self, users: np.ndarray[Any, Any], part: Part, /) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Scores float64 ``(B, N)`` after the last items of each user."""
        items, lengths = self.split.histories(users, part, self.model.sizes.max_history)
        device = self.model.items.device
        longest = int(lengths.max(initial=1))
        rows = torch.from_numpy(items[:, :longest].astype(np.int64)).to(device)
        found = self.model.scores(rows, torch.from_numpy(lengths).to(device))
        return found.double().cpu().numpy()


class SasrecTrainer:
    """Trains one model into one folder; everything that a resumed run needs is in its checkpoint."""

    def __init__(self, config: SasrecTraining, sizes: SasrecSizes, split: Split, items: int, out: Path) -> None:
        """``items`` is the size of the catalog; ``out`` the folder.

        Raises:
            DataError: if no event follows another in training.
        """
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.split, self.number_of_items, self.out = config, split, items, out
        self.device = pick_device(config.device)
        self.clock = training_clock(self.device)
        self.model = Sasrec(items, sizes).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        if not len(split.training_pairs().users):
            raise DataError("no user has two training events, so there is no next item to learn; more data is needed")
        self.events = torch.from_numpy(split.interactions.items).long()
        self.epoch, self.step, self.seconds = 0, 0, 0.0
        self.best, self.best_hits, self.best_epoch = -1.0, 0.0, 0

    def run(self) -> Fitted:
        """Trains to the end; ``sasrec.safetensors`` in the folder holds the weights that were best on validation."""
        self.out.mkdir(parents=True, exist_ok=True)
        self._resume()
        with RunLog(self.out, self.epoch) as run_log:
            while (ended := self._ended()) is None:
                loss = self._train_epoch()
                run_log.write(self.epoch, {"epoch": self.epoch, "train/loss": loss, **self._validate()})
                self._save()
        log.info("NDCG@10 %.4f on validation in epoch %d of %d", self.best, self.best_epoch, self.epoch)
        return Fitted(self.best, self.best_hits, self.epoch, self.best_epoch, round(self.seconds, 1), ended)

    def _ended(self) -> Ended | None:
        if self.epoch - self.best_epoch >= self.config.patience:
            return "patience"
        if self.config.max_minutes and self.epoch and self.seconds >= 60 * self.config.max_minutes:
            return "minutes"
        return "epochs" if self.epoch >= self.config.epochs else None

    def _train_epoch(self) -> float:
        """One pass over all windows; which ones follows from the seed and the epoch alone."""
        started = self.clock()
        self.model.train()
        rng = np.random.default_rng((self.config.seed, self.epoch))
        windows = draw_windows(self.split, self.model.sizes.max_history, rng)
        batch = max(1, round(self.config.positions * len(windows.lengths) / (windows.lengths - 1).sum()))
        order, losses = rng.permutation(len(windows.lengths)), []
        for start in range(0, len(order), batch):
            histories, targets = gather(self.events, windows, order[start : start + batch])
            losses.append(self._train_step(histories.to(self.device), targets.to(self.device)))
        self.epoch += 1
        self.seconds += self.clock() - started
        return float(torch.stack(losses).mean())

    def _train_step(self, histories: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.step += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, self.step / self.config.warmup)
        with mixed_precision(self.device, self.config.precision):
            loss = self.model.loss(histories, targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def _validate(self) -> dict[str, float]:
        """Full ranking of all users' validation targets, seen items left in."""
        scorer: Baseline = SasrecScorer(self.model, self.split)
        ranks = target_ranks(
            scorer, self.split, self.number_of_items, "validation", remove_seen=False, batch=SCORED_ROWS
        )
        ndcg, hit_rate = float(gains(ranks, 10).mean()), float(hits(ranks, 10).mean())
        if ndcg > self.best:
            self.best, self.best_hits, self.best_epoch = ndcg, hit_rate, self.epoch
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.model.state_dict().items()}
            save_file(weights, self.out / f"{WEIGHTS_FILE}.tmp")
            (self.out / f"{WEIGHTS_FILE}.tmp").replace(self.out / WEIGHTS_FILE)
        return {"validation/ndcg@10": ndcg, "validation/hr@10": hit_rate, "train/seconds": self.seconds}

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counts": (self.epoch, self.step, self.best_epoch),
            "values": (self.seconds, self.best, self.best_hits),
            "random": random_state(self.device),
        }
        save_checkpoint(self.out / CHECKPOINT_FILE, state)

    def _resume(self) -> None:
        state = load_checkpoint(self.out / CHECKPOINT_FILE, self.device)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step, self.best_epoch = state["counts"]
        self.seconds, self.best, self.best_hits = state["values"]
        restore_random_state(state["random"], self.device)
        log.info("resuming after epoch %d", self.epoch)


def load_sasrec(folder: Path, items: int, sizes: SasrecSizes, device: torch.device) -> Sasrec:
    """The best model that a training left in ``folder``."""
    model = Sasrec(items, sizes)
    model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return model.to(device).eval()
