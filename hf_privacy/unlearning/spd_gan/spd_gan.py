"""SPD-GAN: the forget set moved a little off the data's distribution, so that forgetting it can be seen.

Training data are i.i.d., so a good model goes on predicting examples it has forgotten. Images changed slightly, so
that a model which never saw them gets them wrong, are predicted only by a model that was trained on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_privacy.adversarial import PixelSpace
from hf_privacy.atomic_file import remove_leftovers
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models.modes import float32_logits, placed_on
from hf_privacy.progress import progress as with_progress
from hf_privacy.unlearning.spd_gan.checkpoint import CHECKPOINT, GANState, load_checkpoint, run_facts, save_checkpoint
from hf_privacy.unlearning.spd_gan.checks import check_classifier, check_images, check_points, device_of, space_of
from hf_privacy.unlearning.spd_gan.config import SPDGANConfig
from hf_privacy.unlearning.spd_gan.losses import adversarial_loss, discriminator_loss, label_hinge, residual_hinge
from hf_privacy.unlearning.spd_gan.networks import Discriminator, SPDGenerator

_LOSSES = ("adversarial", "residual", "label", "discriminator")

LogitsOf = Callable[[dict[str, torch.Tensor]], torch.Tensor]


def train_spd_gan(
    forget_dataset: TensorDataset,
    retain_dataset: TensorDataset,
    *,
    retain_classifier: torch.nn.Module,
    space: PixelSpace | None = None,
    processor: Any = None,
    config: SPDGANConfig | None = None,
    accelerator: Accelerator | None = None,
    output_dir: str | Path | None = None,
    progress: bool = False,
) -> SPDGenerator:
    """Train the generator that moves the forget set slightly off the distribution the retained images come from.

    At each step, with x the forget images of the batch and f the classifier trained on the retained ones alone, the
    discriminator learns to tell G(x) from x and as many retained images, then the generator minimises

        ½ mean (D(G(x)) − 1)² + residual_weight · mean max(0, ‖G(x) − x‖₂ − bound)
        + label_weight · mean max(0, f_y(G(x)) − max_{j≠y} f_j(G(x)) + label_margin).

    Images are taken as they stand, without augmentation. The order of the examples follows from seed and epoch, so on
    the CPU the same arguments give the same weights to the bit, also when a killed run is started again.

    Parameters
    ----------
    forget_dataset, retain_dataset : TensorDataset
        Images ("pixel_values", "labels") that share no rows.
    retain_classifier : torch.nn.Module
        Trained on `retain_dataset` alone; it is not changed, and lies afterwards where it lay before.
    space : PixelSpace, optional
        How the pixel values were normalised; or pass `processor`.
    processor : BaseImageProcessor, optional
        The one the images went through.
    config : SPDGANConfig, optional
    accelerator : accelerate.Accelerator, optional
        Spreads each batch over its processes; every process must make this call. Without one this process does all
        the work, on the classifier's device.
    output_dir : str or Path, optional
        A folder for the checkpoint. When it holds one of the same data, classifier and settings, training goes on from
        there, also for more epochs than it was meant to have.
    progress : bool
        Show the epochs (main process only).

    Returns
    -------
    SPDGenerator
        In evaluation mode, frozen, on the device it was trained on.

    Raises
    ------
    InputError
        Before training: for data that are no images, empty or overlapping sets, images of other channels than the
        space, pixels outside [0, 1], labels the classifier does not know, neither space nor processor, or a checkpoint
        of another run. While training: when it diverges.

    References
    ----------
    Zuo et al. (2025), "Machine unlearning through fine-grained model parameters perturbation", TKDE, arXiv 2401.04385;
    generator, bounded change and hinges after Xiao et al. (2018), arXiv 1801.02610. Least squares in place of the
    logarithms; the classifier attacked is the one without the forget set.
    """
    config = config or SPDGANConfig()
    check_images(forget_dataset, retain_dataset)
    space = space_of(space, processor, retain_classifier)
    device = device_of(retain_classifier, accelerator)
    forget, retain = forget_dataset.with_augmentation(None), retain_dataset.with_augmentation(None)
    check_points(space, forget=forget, retain=retain)
    c = config.c_for(len(space.mean))
    with placed_on(retain_classifier, device), float32_logits(retain_classifier) as logits_of:
        check_classifier(logits_of, forget, device)
        state = _new_state(space, config, c, device)
        folder = None if output_dir is None else Path(output_dir)
        facts = {} if folder is None else run_facts(forget, retain, retain_classifier, space, config, c)
        is_main = accelerator is None or accelerator.is_main_process
        if folder is not None:
            _resume(folder, state, facts, config, is_main=is_main)
        if accelerator is not None:
            accelerator.wait_for_everyone()  # nobody writes before all have read
        with _exactly(device):
            epochs = range(state.epoch, config.num_train_epochs)
            for epoch in with_progress(epochs, description="SPD-GAN, epochs", enabled=progress and is_main):
                state.generator.losses.append(_train_epoch(state, forget, retain, logits_of, config, accelerator))
                state.epoch = epoch + 1
                is_due = state.epoch % config.save_every_n_epochs == 0 or state.epoch == config.num_train_epochs
                if folder is not None and is_main and is_due:
                    save_checkpoint(folder, state, facts)
    if accelerator is not None:
        accelerator.wait_for_everyone()
    return state.generator.requires_grad_(False).eval()


def perturbed_forget_set(
    generator: SPDGenerator, forget_dataset: TensorDataset, *, batch_size: int = 256
) -> TensorDataset:
    """The forget set with its images changed by the generator, everything else as it is, rows in the same order.

    Parameters
    ----------
    generator : SPDGenerator
    forget_dataset : TensorDataset
        Its augmentation is left out.
    batch_size : int

    Returns
    -------
    TensorDataset
        Normalised as `forget_dataset` is and in its dtype. In float32 no pixel is changed by more than ``generator.c``
        and none leaves [0, 1].

    Raises
    ------
    InputError
        For data that are no images of the generator's space.

    Examples
    --------
    >>> generator = SPDGenerator(PixelSpace((0.5,), (0.5,)), c=0.3, width=4, n_blocks=1)
    >>> forget = TensorDataset({"pixel_values": torch.zeros(3, 1, 8, 8), "labels": torch.tensor([2, 0, 1])})
    >>> perturbed_forget_set(generator, forget).column("labels")
    tensor([2, 0, 1])
    """
    check_images(forget_dataset)
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}: pass a positive number")
    dataset = forget_dataset.with_augmentation(None)
    device = next(generator.parameters()).device
    changed = []
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for start in range(0, len(dataset), batch_size):
            batch = dataset.__getitems__(range(start, min(start + batch_size, len(dataset))))
            images = {"pixel_values": batch["pixel_values"].to(device)}
            points = generator(generator.space.points(None, images))
            changed.append(generator.space.inputs(points, images)["pixel_values"].cpu())
    return dataset.with_column("pixel_values", torch.cat(changed))


@contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """In float32, by the same convolution each time."""
    flags = {"enabled": True, "benchmark": False, "deterministic": True}
    with torch.autocast(device.type, enabled=False), torch.backends.cudnn.flags(**flags):
        yield


def _train_epoch(
    state: GANState,
    forget: TensorDataset,
    retain: TensorDataset,
    logits_of: LogitsOf,
    config: SPDGANConfig,
    accelerator: Accelerator | None,
) -> dict[str, float]:
    """One pass over the forget set; the mean of each loss over all processes."""
    rng = np.random.default_rng([config.seed, state.epoch])
    order, partners = rng.permutation(len(forget)), rng.integers(len(retain), size=len(forget))
    rank, n_ranks = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    total = torch.zeros(len(_LOSSES), device=next(state.generator.parameters()).device)
    for start in range(0, len(forget), config.batch_size):
        rows = slice(start, min(start + config.batch_size, len(forget)))
        own = order[rows][rank::n_ranks]  # none, where a batch is smaller than the number of processes
        share = len(own) / (rows.stop - rows.start)
        batch, real = forget.__getitems__(own), retain.__getitems__(partners[rows][rank::n_ranks])
        losses = _step(state, batch, real, logits_of, config, share=share, accelerator=accelerator)
        if losses is not None:
            total += losses * (len(own) / len(forget))
    if n_ranks > 1:
        total = accelerator.reduce(total, reduction="sum")
    means = dict(zip(_LOSSES, total.tolist(), strict=True))
    if not all(map(math.isfinite, means.values())):
        raise InputError(f"SPD-GAN has diverged in epoch {state.epoch + 1} (losses {means}): lower learning_rate")
    return means


def _step(
    state: GANState,
    batch: dict[str, torch.Tensor],
    real: dict[str, torch.Tensor],
    logits_of: LogitsOf,
    config: SPDGANConfig,
    *,
    share: float,
    accelerator: Accelerator | None,
) -> torch.Tensor | None:
    """One step of the discriminator, then one of the generator; the losses in the order of `_LOSSES`."""
    generator, discriminator = state.generator, state.discriminator
    if share == 0:
        _move(state.discriminator_optimizer, None, share, accelerator)
        _move(state.generator_optimizer, None, share, accelerator)
        return None
    space, device = generator.space, next(generator.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
    points = space.points(None, inputs)
    retained = space.points(None, {"pixel_values": real["pixel_values"].to(device)})

    changed = generator(points)
    told_apart = discriminator_loss(discriminator(torch.cat([points, retained])), discriminator(changed.detach()))
    _move(state.discriminator_optimizer, told_apart, share, accelerator)

    logits = logits_of(space.inputs(changed, inputs))
    bound = config.residual_share * generator.c * math.sqrt(points[0].numel())
    adversarial = adversarial_loss(discriminator(changed))
    residual = residual_hinge(changed - points, bound=bound)
    label = label_hinge(logits, batch["labels"].to(device), margin=config.label_margin)
    loss = adversarial + config.residual_weight * residual + config.label_weight * label
    _move(state.generator_optimizer, loss, share, accelerator)
    return torch.stack([adversarial, residual, label, told_apart]).detach()


def _move(
    optimizer: torch.optim.Optimizer, loss: torch.Tensor | None, share: float, accelerator: Accelerator | None
) -> None:
    """Step along the gradient of the whole batch's mean loss, of which this process has the mean over its share.

    Gradients are summed here and not by DistributedDataParallel: two networks that step in turn, one through the
    other, run against its hooks, which expect every forward pass to be followed by that network's backward pass.
    """
    parameters = optimizer.param_groups[0]["params"]
    if loss is None:
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
    else:
        # Only these: neither the other network nor the classifier collects a gradient.
        gradients = list(torch.autograd.grad(share * loss, parameters))
    if accelerator is not None and accelerator.num_processes > 1:
        summed = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduction="sum")
        sizes = [parameter.numel() for parameter in parameters]
        gradients = [part.view_as(p) for part, p in zip(summed.split(sizes), parameters, strict=True)]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    optimizer.zero_grad()


def _new_state(space: PixelSpace, config: SPDGANConfig, c: float, device: torch.device) -> GANState:
    with torch.random.fork_rng(devices=[]):  # drawn on the CPU: the same on every device
        torch.manual_seed(config.seed)
        generator = SPDGenerator(space, c=c, width=config.width, n_blocks=config.n_blocks).to(device)
        discriminator = Discriminator(len(space.mean), config.width).to(device)
    settings = {"lr": config.learning_rate, "betas": config.betas}
    return GANState(
        generator,
        discriminator,
        torch.optim.Adam(generator.parameters(), **settings),
        torch.optim.Adam(discriminator.parameters(), **settings),
    )


def _resume(folder: Path, state: GANState, facts: dict[str, Any], config: SPDGANConfig, *, is_main: bool) -> None:
    if is_main:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
    if not (folder / CHECKPOINT).exists():
        return
    load_checkpoint(folder, state, facts)
    if state.epoch > config.num_train_epochs:
        raise InputError(
            f"the checkpoint in {folder} has had {state.epoch} epochs and num_train_epochs is "
            f"{config.num_train_epochs}: ask for as many or more, or choose another output_dir"
        )
