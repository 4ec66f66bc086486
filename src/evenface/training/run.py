"""One training run, step by step. It never asks which loss, backbone or reader it has."""

import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from evenface import losses
from evenface.backbones.saved import Card, save_model
from evenface.data import Batch, BatchPlan, FaceDataset, augment_batch, load, loader, normalise
from evenface.errors import UserError
from evenface.losses import regularisers
from evenface.losses.classes import divided
from evenface.training import checkpoint, start
from evenface.training.config import Config
from evenface.training.diverged import Diverged
from evenface.training.gradients import clip_gradients
from evenface.training.log import Log, open_log
from evenface.training.measure import Measures
from evenface.training.notes import training_notes
from evenface.training.optimizer import learning_rate, make_optimizer
from evenface.training.people import require_same_people, write_identities
from evenface.training.precision import product_type, slow_here
from evenface.training.processes import Processes
from evenface.training.record import write_figures, write_record
from evenface.training.state import Part
from evenface.training.turned import Turned


class Run:
    """One run: what is built once in `__init__`, and the steps in `go`; arguments as those of `train`."""

    def __init__(self, config: Config, folder: Path, me: Processes, resume: bool, console: Console):
        self.config, self.folder, self.me, self.console = config, folder, me, console
        options = config.train
        if options.batch_size == me.world > 1:
            raise UserError(
                f"train.batch_size: {options.batch_size} is one image for each of {me.world} processes, and "
                "batch norm needs two; use more"
            )
        self.low = product_type(options.precision, me.device)
        faces, held, notes = load(config.data, options.seed)
        self.dataset = FaceDataset(
            faces,
            config.input,
            config.data.augment if config.data.augment_on == "workers" else None,
            seed=options.seed,
            corrupt=config.data.corrupt,
            in_memory=config.data.in_memory,
        )
        self.plan = BatchPlan.of(faces, config.data, options.batch_size, options.seed, me.world, me.rank)
        self.steps = max(1, round(options.epochs * self.plan.steps_per_epoch))
        torch.manual_seed(options.seed)
        self.card = Card(config.backbone.name, config.backbone.options, config.input)
        net = self.card.create().to(me.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        size = config.backbone.options["embedding_size"]
        old, people = start.classes(config, faces.identities, folder if resume else None)
        with divided(me.rank, me.world):
            self.head = losses.create(config.loss.name, len(people), size, **config.loss.options)
            for extra in config.regularisers:
                regularisers.add(self.head, extra.name, **extra.options)
        self.head.sample_classes(options.sample)
        self.head.low_precision = options.precision == "bf16" and me.device.type == "cuda"
        self.begun = old.begin(net, self.head, people, faces, config) if old else {}
        notes += [*start.sentences(self.begun), *slow_here(options.precision, me.device)]
        self.head.use_class_sizes(torch.bincount(torch.from_numpy(faces.labels), minlength=len(people)))
        self.head.to(me.device)
        # Before a resume: the seed draws the same start again, unless the run began from another.
        self.turned = Turned(self.head, known=not (resume and config.start.run))
        self.net = net
        self.average = (
            AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(options.ema), use_buffers=True)  # type: ignore[no-untyped-call]
            if options.ema
            else None
        )
        self.optimizer = make_optimizer([net, self.head], options)
        # One process alone sees an infinite gradient of its classes, and all must leave out the step.
        scaler = ShardedGradScaler if me.world > 1 else torch.amp.GradScaler
        self.scaler = scaler(me.device.type, enabled=options.precision == "fp16")
        self.measures = Measures(config, faces, held)
        self.best: dict[str, float] = {}
        self.best_step: int | None = None  # of the best model measured on the way
        self.step = self.skipped = 0  # skipped by this process
        self.measured = -1  # the step of the last measurement
        self.last_saved: int | None = None
        self.latest: list[int] = []  # the images of the present batch
        if resume:
            self._restore()
        else:
            if me.first:
                write_identities(folder, people)
            self._save()  # so that a run killed before its first regular checkpoint goes on too
        forward: nn.Module = net
        if me.world > 1:
            forward = DistributedDataParallel(net)
        self.forward: Any = torch.compile(forward) if options.compile else forward
        if me.first:
            for note in [*notes, f"training on {faces}, {self.steps:,} steps, on {me.device}"]:
                console.print(note, highlight=False, markup=False)
            write_record(config, folder, me)
            if self.measured == self.steps:
                console.print(f"{folder}: all {self.steps} steps are done already", highlight=False)

    def go(self) -> None:
        """Train from the present step to the last, measuring and saving on the way."""
        options, me = self.config.train, self.me
        title = f"{self.config.loss.name} {self.config.backbone.name}"
        if not me.first:
            self.console = Console(quiet=True)
        folder = self.folder if me.first else self.folder / f"rank{me.rank}"
        folder.mkdir(parents=True, exist_ok=True)
        board = options.tensorboard and me.first
        with open_log(folder, self.console, title, self.step, self.steps, tensorboard=board) as log:
            batches = loader(
                self.dataset,
                self.plan,
                self.step,
                self.steps,
                workers=self.config.data.workers,
                pin=me.device.type == "cuda",
            )
            if self.step:
                log.write("resumed", self.step)
            seen, since = 0, time.perf_counter()
            for batch in batches:
                self.skipped += len(batch.skipped)
                self.latest = batch.indices.tolist()
                for error in batch.skipped:
                    log.write("skipped", self.step, file=error.place, why=error.why)
                images = normalise(self._augmented(batch), self.config.input)
                loss, norm = self._update(images, batch.labels.to(me.device, non_blocking=True))
                self.step += 1
                seen += len(batch) * me.world
                if self.step % options.log_every == 0 or self.step == self.steps:
                    rate = seen / (time.perf_counter() - since)
                    self._report(log, loss, norm, rate)
                    seen, since = 0, time.perf_counter()
                every = self.config.evaluate.every
                due = every and self.step % every == 0 and self.step < self.steps
                if due:
                    self._measure(log)
                saved = self.step in (self.steps, self.best_step) or self.step % options.checkpoint_every == 0
                if saved:
                    self._save()
                if due or saved:
                    seen, since = 0, time.perf_counter()
            if self.measured != self.steps:  # after a checkpoint: a measurement that fails costs no step
                self._measure(log)
                self._save()
            if me.first:
                write_figures(self.best, self.folder)
            if skipped := me.sum(self.skipped):
                where = "log.jsonl names them" if me.world == 1 else "log.jsonl and rank*/log.jsonl name them"
                log.say(f"{skipped} times an image could not be read and was skipped; {where}")

    def _augmented(self, batch: Batch) -> Tensor:
        images, data = batch.images.to(self.me.device, non_blocking=True), self.config.data
        if data.augment_on == "workers":
            return images
        draws, colour = batch.draws.tolist(), self.config.input.colour
        return augment_batch(images, data.augment, draws, self.config.train.seed, colour)

    def _update(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the optimizer; returns the loss and the gradient's norm, detached."""
        options, me = self.config.train, self.me
        # Dropout draws from a generator that is a function of the step, so a resumed run draws the same.
        torch.manual_seed((options.seed * 1_000_003 + self.step) * 1_009 + me.rank)
        rate = learning_rate(options, self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        frozen = self.step < self.config.start.freeze
        self.net.train(not frozen)
        self.head.train()
        autocast = torch.autocast(me.device.type, dtype=self.low, enabled=self.low is not None)
        with autocast, torch.set_grad_enabled(not frozen):
            embeddings = self.forward(images.to(memory_format=torch.channels_last))
        together, everyone = me.gather(embeddings, labels, self.config.train.batch_size // me.world)
        if not bool(torch.isfinite(together).all()):
            raise self._diverged("an embedding")
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.head(together, everyone)
        if not bool(torch.isfinite(loss)):
            raise self._diverged("the loss")
        self.scaler.scale(loss).backward()
        me.average_gradients(self.head)
        self.scaler.unscale_(self.optimizer)
        norm = clip_gradients(self.net, self.head, options.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.net)
        return loss.detach(), norm

    def _diverged(self, what: str) -> Diverged:
        files = [self.dataset.faces.pictures.place(i) for i in self.latest]
        return Diverged(what, self.step, self.me.rank, files, self.folder, self.last_saved)

    def _measured_net(self) -> nn.Module:
        return self.net if self.average is None else self.average.module

    def _report(self, log: Log, loss: Tensor, norm: Tensor, rate: float) -> None:
        epoch = self.step / self.plan.steps_per_epoch
        terms = {name: float(value) for name, value in self.head.terms.items()}
        log.write(
            "train",
            self.step,
            epoch=round(epoch, 3),
            loss=float(loss),
            **terms,
            **self.turned(log.say),
            gradient_norm=float(norm),
            learning_rate=learning_rate(self.config.train, self.step - 1, self.steps),
            images_per_second=round(rate, 1),
        )
        log.advance(self.step, epoch=f"{epoch:.1f}", loss=f"{float(loss):.3f}", rate=f"{rate:.0f} images/s")

    def _measure(self, log: Log) -> None:
        me, by, better = self.me, self.measures.best_by, False
        centres, turned = self.measures.centres(self.head), self.turned()
        skipped = me.sum(self.skipped)
        if me.first:
            net = self._measured_net()
            values, sentences = self.measures(net, centres, me.device)
            for sentence in sentences:
                log.say(f"step {self.step}: {sentence}")
            if values:
                log.write("measure", self.step, **values)
            better = values[by] > self.best.get(by, -1.0) if by else self.step == self.steps
            if better:
                self.best = values
                notes = training_notes(
                    self.config,
                    self.dataset.faces,
                    images_skipped=skipped,
                    step=self.step,
                    steps=self.steps,
                    chosen_by=by or "last step",
                    measured=values,
                    **turned,
                    **({"start": self.begun} if self.begun else {}),
                )
                card = Card(self.card.backbone, self.card.options, self.card.format, notes)
                save_model(self.folder, net, card)
        if me.agreed(better) and by:
            self.best_step = self.step
        self.measured = self.step

    def _parts(self) -> list[Part]:
        average = [Part("average", self.average)] if self.average is not None else []
        return [Part("net", self.net, self.optimizer), Part("head", self.head, self.optimizer), *average]

    def _save(self) -> None:
        # Every process looks at the same weights, so all stop or none.
        if not all(bool(torch.isfinite(weight).all()) for weight in self.net.state_dict().values()):
            raise self._diverged("a weight")
        plain = {
            "step": self.step,
            "world": self.me.world,
            "skipped": self.me.sum(self.skipped),
            "measured": self.measured,
            "images": len(self.dataset.faces),
            "best": self.best,
            "best_step": self.best_step,
            "start": self.begun,
            "scaler": self.scaler.state_dict(),
        }
        checkpoint.save(self.folder, self._parts(), plain, self.me, self.config.train.keep_checkpoints)
        self.last_saved = self.step

    def _restore(self) -> None:
        path = checkpoint.latest(self.folder)
        if path is None:
            raise checkpoint.missing(self.folder)
        state = checkpoint.plain(path)
        self.begun = start.resumed(self.config, state["start"])
        cure, rivals = "bring back the pictures it began with", self.begun.get("rivals", 0)
        require_same_people(self.folder, self.dataset.faces, state["images"], cure, rivals)
        checkpoint.restore(path, self._parts(), self.me)
        if state["scaler"]:  # none, where it ran in another precision
            self.scaler.load_state_dict(state["scaler"])
        self.step = self.last_saved = state["step"]
        self.skipped = state["skipped"] if self.me.first else 0
        self.measured = state.get("measured", self.step)
        self.best, self.best_step = state["best"], state["best_step"]
        if state["world"] != self.me.world:
            self.console.print(
                f"began with {state['world']} processes and goes on with {self.me.world}: the batches are "
                "the same, batch norm and dropout are not, so the weights will differ from an unbroken run's",
                highlight=False,
            )
