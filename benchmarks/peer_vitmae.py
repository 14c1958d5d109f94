"""One side of ``bench_training_step``: transformers' ViTMAEForPreTraining in an interpreter of its own.

Reads a JSON line of sizes, then answers every line ``go`` with the seconds of its steps; imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining


def main() -> None:
    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    device = torch.device(job["device"])
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
    module = ViTMAEForPreTraining(config).to(device).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, weight_decay=0.05, foreach=True)
    x_BCHW = torch.rand(job["batch"], job["channels"], job["crop_px"], job["crop_px"], device=device)
    bfloat16 = job["precision"] == "bfloat16"

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss = module(pixel_values=x_BCHW).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        loss.item()

    step()
    print(json.dumps({"parameters": sum(p.numel() for p in module.parameters() if p.requires_grad)}), flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        for _ in range(job["steps"]):
            step()
        print(time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    main()
