"""The training loop of the generator: all tasks mixed, both alignments, validation by search, exact resume."""

import logging
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from model.errors import ConfigError
from model.fusion import FusionConfig
from model.generator import Generator, GeneratorConfig
from training.alignment import implicit_alignment
from training.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint
from training.devices import mixed_precision, pick_device
from training.examples import Batch, BatchBuilder, batches_of, build_examples, padding_share
from training.generator_config import FitGeneratorConfig
from training.generator_data import GeneratorData
from training.metrics import gains, hits
from training.progress import progress
from training.retrieval import Retriever
from training.run_log import RunLog
from training.tasks import build_tasks
from training.validation import HeldOut, main_list, rank_targets

log = logging.getLogger(__name__)

CHECKPOINT_FILE = "checkpoint.pt"
EPOCH_SEED = 1_000_003
TOTALS = ("train/loss", "train/token_loss", "train/implicit_loss", "train/padding")


class Position(NamedTuple):
    """Where training stands: finished epochs, steps of the current epoch, and steps in all."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0


class Trainer:
    """One run of the training; everything that a resumed run needs is in its checkpoint."""

    def __init__(self, config: FitGeneratorConfig, data: GeneratorData, fusion: FusionConfig, out: Path) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.data, self.fusion, self.out = config, data, fusion, out
        self.device = pick_device(config.device)
        self.tasks = build_tasks(data.space, config.explicit)
        prompted = sum(task.prompt is not None for task in self.tasks)
        generator = GeneratorConfig(
            space=data.space, prompted_tasks=prompted, max_history=config.max_history, sizes=config.sizes
        )
        self.generator = Generator(generator).to(self.device)
        self.optimizer = self._optimizer()
        self.builder = BatchBuilder(data.space, self.tasks, torch.from_numpy(np.array(data.codes)), self.device)
        items = len(data.codes[0])
        self.examples = build_examples(self.tasks, data.split, items, config.max_history, config.target_window)
        self.on_device = self.examples.to(self.device)
        self.steps_per_epoch = math.ceil(len(self._epoch_choice(0)) / config.batch_size)
        self.position, self.best, self.best_epoch, self.seconds = Position(), -1.0, 0, 0.0
        self.totals = torch.zeros(len(TOTALS), device=self.device)

    def run(self) -> None:
        """Trains to the end or to early stopping; the best weights on validation are what the folder holds."""
        self._resume()
        with RunLog(self.out, self.position.step) as run_log:
            for epoch in range(self.position.epoch, self.config.epochs):
                if self._should_stop(epoch):
                    break
                self._train_epoch(epoch, run_log)
                self.position = Position(epoch + 1, 0, self.position.step)
                is_last = epoch + 1 == self.config.epochs or self._is_out_of_time()
                if (epoch + 1) % self.config.validate_every == 0 or is_last:
                    self._validate(epoch + 1, run_log)
                self._save()

    def _should_stop(self, epoch: int) -> bool:
        stale = (epoch - self.best_epoch) / self.config.validate_every
        if self.config.patience and self.best >= 0 and stale >= self.config.patience:
            log.info("no better NDCG@10 since epoch %d: stopping", self.best_epoch)
            return True
        if self._is_out_of_time():
            log.info("%.1f minutes of training are used: stopping", self.seconds / 60)
            return True
        return False

    def _is_out_of_time(self) -> bool:
        return bool(self.config.max_minutes) and self.seconds >= 60 * self.config.max_minutes

    def _train_epoch(self, epoch: int, run_log: RunLog) -> None:
        """Trains the rest of an epoch; its batches depend on the seed and the epoch alone, so a resume finds them."""
        self.generator.train()
        plan, done = self._plan(epoch), self.position.step_in_epoch
        batches = batches_of(self.builder, self.on_device, plan[done:])
        saved = started = time.monotonic()
        for index, batch in enumerate(progress(batches, f"epoch {epoch + 1}", len(plan), done), start=done + 1):
            self.totals += self._train_step(batch)
            self.position = Position(epoch, index, self.position.step + 1)
            # After the last step the epoch's records follow, and they belong to the checkpoint behind them.
            if index < len(plan) and time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                self.seconds += time.monotonic() - started
                self._save()
                saved = started = time.monotonic()
        self.seconds += time.monotonic() - started
        means = dict(zip(TOTALS, (self.totals / len(plan)).tolist(), strict=True))
        self.totals.zero_()
        rate = self.optimizer.param_groups[0]["lr"]
        values = {"epoch": epoch + 1, **means, "train/learning_rate": rate, "train/seconds": self.seconds}
        run_log.write(self.position.step, values)
        log.info("epoch %d: loss %.4f after %.0f s", epoch + 1, means["train/loss"], self.seconds)

    def _train_step(self, batch: Batch) -> torch.Tensor:
        """One update; returns what TOTALS names ``(4,)``, left on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self._schedule(self.position.step)
        with mixed_precision(self.device, self.config.precision):
            token_loss = self.generator.loss(batch.tokens, batch.targets, self.config.label_smoothing)
            implicit = torch.zeros((), device=self.device)
            if self.config.implicit_weight and len(self.data.space.modalities) > 1 and len(batch.aligned_items) > 1:
                implicit = implicit_alignment(
                    self.generator, self.builder, batch.aligned_items, self.config.implicit_temperature
                )
        loss = token_loss + self.config.implicit_weight * implicit
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), self.config.clip)
        self.optimizer.step()
        return torch.stack([loss, token_loss, implicit, padding_share(batch.tokens)]).detach().float()

    def _optimizer(self) -> torch.optim.AdamW:
        """AdamW with a rate of its own for the token embeddings; each group keeps its peak rate."""
        embedding, rate = self.generator.transformer.embedding, self.config.learning_rate
        others = [weights for weights in self.generator.parameters() if weights is not embedding]
        groups = [
            {"params": others, "peak": rate},
            {"params": [embedding], "peak": rate * self.config.embedding_rate},
        ]
        betas = (0.9, self.config.beta2)
        return torch.optim.AdamW(groups, lr=rate, betas=betas, weight_decay=self.config.weight_decay, fused=True)

    def _schedule(self, step: int) -> float:
        """Linear warm-up, then a cosine to 0, over all steps of all epochs."""
        total = self.config.epochs * self.steps_per_epoch
        warmup = max(1, round(self.config.warmup * total))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))

    def _validate(self, epoch: int, run_log: RunLog) -> None:
        started = time.monotonic()
        ranks = main_list(rank_targets(self._retriever(), self._held_out(), self.config.beam, self.fusion)).item
        ndcg, hit_rate = float(gains(ranks, 10).mean()), float(hits(ranks, 10).mean())
        seconds = time.monotonic() - started
        run_log.write(
            self.position.step,
            {"epoch": epoch, "validation/ndcg@10": ndcg, "validation/hr@10": hit_rate, "validation/seconds": seconds},
        )
        log.info("epoch %d: validation HR@10 %.4f, NDCG@10 %.4f (%.0f s)", epoch, hit_rate, ndcg, seconds)
        if ndcg > self.best:
            self.best, self.best_epoch = ndcg, epoch
            self.generator.save(self.out)

    def _retriever(self) -> Retriever:
        return Retriever(self.generator.search(), self.data.space, self.data.codes, self.data.trie, self.device)

    def _held_out(self) -> HeldOut:
        users = self.data.split.users
        wanted = self.config.validation_users
        if wanted and wanted < len(users):
            users = np.sort(np.random.default_rng(self.config.seed).choice(users, wanted, replace=False))
        return HeldOut(self.data.split, users, "validation", self.config.max_history, remove_seen=False)

    def _plan(self, epoch: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(self.config.seed * EPOCH_SEED + epoch)
        chosen = self._epoch_choice(epoch)
        batches = self.builder.plan(self.examples.select(chosen), self.config.batch_size, self.config.pool, generator)
        return [chosen[batch] for batch in batches]

    def _epoch_choice(self, epoch: int) -> torch.Tensor:
        """Indices of this epoch's examples: all, or a few random targets of each user and every item task."""
        wanted = self.config.targets_per_user
        if not wanted:
            return torch.arange(len(self.examples))
        generator = torch.Generator().manual_seed(self.config.seed * EPOCH_SEED + epoch)
        return self.examples.draw_per_user(wanted, generator)

    def _save(self) -> None:
        save_checkpoint(
            self.out / CHECKPOINT_FILE,
            {
                "config": self.config.model_dump_json(),
                "generator": self.generator.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "position": tuple(self.position),
                "best": self.best,
                "best_epoch": self.best_epoch,
                "seconds": self.seconds,
                "totals": self.totals,
                "random": random_state(self.device),
            },
        )

    def _resume(self) -> None:
        """Goes on where a killed run stopped.

        Raises:
            ConfigError: if the checkpoint in the folder was made with other settings.
        """
        state: dict[str, Any] | None = load_checkpoint(self.out / CHECKPOINT_FILE, self.device)
        if state is None:
            return
        if state["config"] != self.config.model_dump_json():
            raise ConfigError(
                f"{self.out / CHECKPOINT_FILE} was made with other settings; remove it or use another folder"
            )
        self.generator.load_state_dict(state["generator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.position = Position(*state["position"])
        self.best, self.best_epoch, self.seconds = state["best"], state["best_epoch"], state["seconds"]
        self.totals = state["totals"]
        restore_random_state(state["random"], self.device)
        log.info("resuming in epoch %d at step %d", self.position.epoch + 1, self.position.step)
