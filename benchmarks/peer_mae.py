"""A peer of the training step in an interpreter of its own: transformers' or lightly's masked autoencoder.

Reads a JSON line of sizes with the peer's name, then answers every line ``go`` with the wall and processor seconds of
its steps; imports nothing of ours, so that it runs in an environment of its own (``peers.txt``).

Shape legend: B batch, C channels, H W pixels.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor], Tensor]


def transformers_mae(job: dict[str, Any]) -> tuple[nn.Module, Loss]:
    """Return Hugging Face's ViTMAEForPreTraining and its loss."""
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(
        image_size=job["crop_px"],
        patch_size=job["patch_px"],
        num_channels=job["channels"],
        hidden_size=job["width"],
        num_hidden_layers=job["depth"],
        num_attention_heads=job["heads"],
        intermediate_size=4 * job["width"],
        decoder_hidden_size=job["decoder_width"],
        decoder_num_hidden_layers=job["decoder_depth"],
        decoder_num_attention_heads=job["decoder_heads"],
        decoder_intermediate_size=4 * job["decoder_width"],
        mask_ratio=job["mask_ratio"],
    )
    module = ViTMAEForPreTraining(config)
    return module, lambda x_BCHW: module(pixel_values=x_BCHW).loss


def lightly_mae(job: dict[str, Any]) -> tuple[nn.Module, Loss]:
    """Return lightly's MAE put together as its example does, and its loss."""
    from lightly.models import utils
    from lightly.models.modules import MAEDecoderTIMM, MaskedVisionTransformerTIMM
    from timm.models.vision_transformer import VisionTransformer

    vit = VisionTransformer(
        img_size=job["crop_px"],
        patch_size=job["patch_px"],
        in_chans=job["channels"],
        embed_dim=job["width"],
        depth=job["depth"],
        num_heads=job["heads"],
        num_classes=0,
    )
    backbone = MaskedVisionTransformerTIMM(vit=vit)
    decoder = MAEDecoderTIMM(
        num_patches=vit.patch_embed.num_patches,
        patch_size=job["patch_px"],
        in_chans=job["channels"],
        embed_dim=job["width"],
        decoder_embed_dim=job["decoder_width"],
        decoder_depth=job["decoder_depth"],
        decoder_num_heads=job["decoder_heads"],
    )
    length = backbone.sequence_length

    def loss(x_BCHW: Tensor) -> Tensor:
        size = (len(x_BCHW), length)
        keep, hidden = utils.random_token_mask(size=size, mask_ratio=job["mask_ratio"], device=x_BCHW.device)
        visible = decoder.embed(backbone.encode(images=x_BCHW, idx_keep=keep))
        full = utils.repeat_token(decoder.mask_token, size)
        full = utils.set_at_index(full, keep, visible.type_as(full))
        predicted = decoder.predict(utils.get_at_index(decoder.decode(full), hidden))
        target = utils.get_at_index(utils.patchify(x_BCHW, job["patch_px"]), hidden - 1)
        return nn.functional.mse_loss(predicted, target)

    return nn.ModuleDict({"backbone": backbone, "decoder": decoder}), loss


def import_torchvision() -> None:
    """Import torchvision beside a CPU build of torch, whose compiled operators it lacks: define what it asks for."""
    for _ in range(8):
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if not missing:
                raise
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(f"{missing[1]}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _LIBRARIES.append(library)  # a library that is collected takes its operators along
        else:
            return


_LIBRARIES: list[Any] = []
PEERS = {"transformers": transformers_mae, "lightly": lightly_mae}


def main() -> None:
    """Take one step to warm up, say how many parameters are trained, then time rounds on demand."""
    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    device = torch.device(job["device"])
    import_torchvision()
    module, loss_of = PEERS[job["peer"]](job)
    module.to(device).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=0.05, foreach=True)
    x_BCHW = torch.rand(job["batch"], job["channels"], job["crop_px"], job["crop_px"], device=device)
    bfloat16 = job["precision"] == "bfloat16"
    if job["compile"]:
        loss_of = torch.compile(loss_of)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss = loss_of(x_BCHW)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        loss.item()

    for _ in range(job["warm_up"]):
        step()
    parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    print(json.dumps({"parameters": parameters}), flush=True)
    for _ in sys.stdin:
        begin, spent = time.perf_counter(), time.process_time()
        for _ in range(job["steps"]):
            step()
        print(json.dumps([time.perf_counter() - begin, time.process_time() - spent]), flush=True)


if __name__ == "__main__":
    main()
