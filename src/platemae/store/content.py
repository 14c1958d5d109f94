"""The content digest of a plate: of its pixels, channel names and pixel size, however they are stored."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import google_crc32c  # a dependency of zarr
import numpy as np

from platemae.fingerprint import digest_json
from platemae.store.plate_reader import PlateStore

BLOCK_BYTES = 2**16


def digest_pixels(x_CYX: np.ndarray) -> str:
    """Return the digest of a field: SHA-256 of dtype, shape, and the CRC-32C of every 64 KiB of its pixels.

    Ingest compresses at about 400 MB/s a core; SHA-256 of every byte would run at the same speed and halve it. A change
    within one block passes unseen once in 2^32, a change of up to 32 neighbouring bits never: enough to notice what
    people and disks do to images. It is no defence against a forger.
    """
    flat = np.ascontiguousarray(x_CYX).reshape(-1).view(np.uint8)
    blocks = (flat[start : start + BLOCK_BYTES] for start in range(0, len(flat), BLOCK_BYTES))
    hasher = hashlib.sha256(f"{x_CYX.dtype.str}{x_CYX.shape}".encode())
    hasher.update(np.array([google_crc32c.value(block) for block in blocks], dtype="<u4").tobytes())
    return hasher.hexdigest()


def content_digest(digests: Mapping[str, str], channels: Sequence[str], pixel_size_um: float) -> str:
    """Return the digest of a plate.

    Parameters
    ----------
    digests
        Digest of each field by its group.
    channels
        Names, in the order of the first axis. Stains are labels and not part of it.
    pixel_size_um
        Edge of a pixel in micrometres.
    """
    return digest_json({"fields": dict(digests), "channels": list(channels), "pixel_size_um": float(pixel_size_um)})


def digest_store(store: PlateStore) -> str:
    """Read a whole plate and return its digest, which ``store.digest`` states since it was written.

    Raises
    ------
    PlatemaeError
        When a field is gone or damaged.
    """
    digests = {group: digest_pixels(store.read_field(group)) for group in store.fields}
    return content_digest(digests, store.channel_names, store.pixel_size_um)
