"""The training loop of the generator: all tasks mixed, both alignments, validation by search, exact resume."""

import logging
import math
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.errors import ConfigError
from model.fusion import FusionConfig
from model.generator import Generator, GeneratorConfig
from training.alignment import implicit_alignment
from training.allocator import keep_freed_memory
from training.batches import Batch, BatchBuilder, batches_of, padding_share
from training.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint
from training.dense_candidates import DenseCandidates
from training.devices import mixed_precision, pick_device, training_clock
from training.epochs import Epochs
from training.generator_config import FitGeneratorConfig
from training.generator_data import GeneratorData
from training.metrics import gains, hits
from training.progress import progress
from training.retrieval import Retriever
from training.run_log import RunLog
from training.siblings import Siblings
from training.tasks import build_tasks
from training.validation import HeldOut, draw_users, main_list, rank_targets

log = logging.getLogger(__name__)

CHECKPOINT_FILE = "checkpoint.pt"
TOTALS = ("train/loss", "train/token_loss", "train/dense_loss", "train/implicit_loss", "train/padding")


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
        keep_freed_memory()
        torch.manual_seed(config.seed)
        self.config, self.data, self.fusion, self.out = config, data, fusion, out
        self.device = pick_device(config.device)
        self.clock = training_clock(self.device)
        self.tasks = build_tasks(data.space, config.explicit, config.shape.position)
        prompted = sum(task.prompt is not None for task in self.tasks)
        generator = GeneratorConfig(
            space=data.space,
            prompted_tasks=prompted,
            max_history=config.max_history,
            sizes=config.sizes,
            shape=config.shape,
        )
        self.generator = Generator(generator).to(self.device)
        self.optimizer = self._optimizer()
        self.average = self._averaged() if config.average else None
        self.builder = self._builder()
        dense = config.shape.dense
        self.candidates = DenseCandidates(self.builder.item_tokens, config.dense_candidates) if dense else None
        self.epochs = Epochs(config, data.split, self.tasks, len(data.codes[0]), self.builder)
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
        return self._share_of_time(self.seconds) >= 1

    def _share_of_time(self, seconds: float) -> float:
        """Of the minutes that training may take; 0 without a limit."""
        return seconds / (60 * self.config.max_minutes) if self.config.max_minutes else 0.0

    def _train_epoch(self, epoch: int, run_log: RunLog) -> None:
        """Trains the rest of an epoch, or until time is used up.

        Its batches depend on the seed and the epoch alone, so a resume finds them.
        """
        self.generator.train()
        (examples, plan), done = self.epochs.plan(epoch), self.position.step_in_epoch
        batches = batches_of(self.builder, examples.to(self.device), plan[done:])
        saved = started = self.clock()
        for index, batch in enumerate(progress(batches, f"epoch {epoch + 1}", len(plan), done), start=done + 1):
            of_time = self._share_of_time(self.seconds + self.clock() - started)
            self.totals += self.train_step(batch, max(of_time, (epoch + index / len(plan)) / self.config.epochs))
            self.position = Position(epoch, index, self.position.step + 1)
            if of_time >= 1:
                break
            # After the last step the epoch's records follow, and they belong to the checkpoint behind them.
            if index < len(plan) and self.clock() - saved > 60 * self.config.checkpoint_minutes:
                self.seconds += self.clock() - started
                self._save()
                saved = started = self.clock()
        self.seconds += self.clock() - started
        means = dict(zip(TOTALS, (self.totals / self.position.step_in_epoch).tolist(), strict=True))
        self.totals.zero_()
        rate = self.optimizer.param_groups[0]["lr"]
        values = {"epoch": epoch + 1, **means, "train/learning_rate": rate, "train/seconds": self.seconds}
        run_log.write(self.position.step, values)
        log.info("epoch %d: loss %.4f after %.0f s", epoch + 1, means["train/loss"], self.seconds)

    def train_step(self, batch: Batch, done: float) -> torch.Tensor:
        """One update after the share ``done`` of all; returns what TOTALS names ``(5,)``, left on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self._schedule(done)
        with mixed_precision(self.device, self.config.precision):
            encoded = self.generator.encode(batch.tokens)
            smoothing = self.config.label_smoothing
            token_loss = self.generator.token_loss(encoded, batch.targets, batch.siblings, smoothing)
            dense = implicit = torch.zeros((), device=self.device)
            if self.candidates is not None:
                dense = self.generator.dense_loss(encoded, *self.candidates.of(batch.items))
            if self.config.implicit_weight and len(self.data.space.modalities) > 1 and len(batch.aligned_items) > 1:
                implicit = implicit_alignment(
                    self.generator, self.builder, batch.aligned_items, self.config.implicit_temperature
                )
        loss = token_loss + self.config.dense_weight * dense + self.config.implicit_weight * implicit
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), self.config.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.generator)
        return torch.stack([loss, token_loss, dense, implicit, padding_share(batch.tokens)]).detach().float()

    def _averaged(self) -> AveragedModel:
        """A moving average of the weights, updated after every step."""
        update = get_ema_multi_avg_fn(self.config.average)  # type: ignore[no-untyped-call]
        return AveragedModel(self.generator, multi_avg_fn=update)

    def _builder(self) -> BatchBuilder:
        """Batches of the tasks, with what a softmax over the catalog ranges over."""
        data, shape = self.data, self.config.shape
        siblings = Siblings(data.trie, data.space, data.codes, self.device) if shape.softmax == "catalog" else None
        codes = torch.from_numpy(np.array(data.codes))
        return BatchBuilder(data.space, self.tasks, codes, self.device, shape, siblings, self.config.history_dropout)

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

    def _schedule(self, done: float) -> float:
        """Linear warm-up, then a cosine to 0, over all epochs or minutes, whichever end first."""
        done = min(done, 1.0)
        if done < self.config.warmup:
            return done / self.config.warmup
        return 0.5 * (1 + math.cos(math.pi * (done - self.config.warmup) / (1 - self.config.warmup)))

    def _validate(self, epoch: int, run_log: RunLog) -> None:
        started = self.clock()
        ranks = main_list(rank_targets(self._retriever(), self._held_out(), self.config.beam, self.fusion)).item
        ndcg, hit_rate = float(gains(ranks, 10).mean()), float(hits(ranks, 10).mean())
        seconds = self.clock() - started
        run_log.write(
            self.position.step,
            {"epoch": epoch, "validation/ndcg@10": ndcg, "validation/hr@10": hit_rate, "validation/seconds": seconds},
        )
        log.info("epoch %d: validation HR@10 %.4f, NDCG@10 %.4f (%.0f s)", epoch, hit_rate, ndcg, seconds)
        if ndcg > self.best:
            self.best, self.best_epoch = ndcg, epoch
            self._answering().save(self.out)

    def _retriever(self) -> Retriever:
        search = self._answering().search()
        return Retriever(search, self.data.space, self.data.codes, self.data.trie, self.device)

    def _answering(self) -> Generator:
        """The generator that validates and is kept: the average of the weights, if there is one."""
        return self.generator if self.average is None else cast("Generator", self.average.module)

    def _held_out(self) -> HeldOut:
        users = draw_users(self.data.split, self.config.validation_users, self.config.seed)
        return HeldOut(self.data.split, users, "validation", self.config.max_history, self.config.remove_seen)

    def _save(self) -> None:
        save_checkpoint(
            self.out / CHECKPOINT_FILE,
            {
                "config": self.config.model_dump_json(),
                "generator": self.generator.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
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
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.position = Position(*state["position"])
        self.best, self.best_epoch, self.seconds = state["best"], state["best_epoch"], state["seconds"]
        self.totals = state["totals"]
        restore_random_state(state["random"], self.device)
        log.info("resuming in epoch %d at step %d", self.position.epoch + 1, self.position.step)
