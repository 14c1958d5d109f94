"""The intensity maps: what clipping and rounding leave of each channel."""

from __future__ import annotations

from platemae.report.blocks import Section, Text, grid
from platemae.report.origin import Cell, counted
from platemae.report.source import Record, Source

INTRO = (
    "Source values are mapped to 0..255 before a model sees them. Clipped pixels lie outside the limits; grey levels "
    "are those of the 256 that the fitted pixels fill, and under 32 of them a channel is coarse. Of several plates or "
    "batches the worst is shown."
)


def build(source: Source) -> Section:
    """Return clipped shares and grey levels of each map and channel."""
    records = [record for record in source.of("fit_intensity") if record.manifest is not None]
    rows = [row for record in records for row in _rows(record)]
    if not rows:
        return Section("intensity", "Intensity", [Text("No intensity map was fitted.", "note")])
    columns = ("map", "channel", "clipped to 0", "clipped to 255", "fields without contrast", "grey levels")
    return Section(
        "intensity", "Intensity", [Text(INTRO), grid(rows, columns, "Intensity maps", columns[2:], name="intensity")]
    )


def _rows(record: Record) -> list[tuple[str | Cell, ...]]:
    counts = record.manifest.counts if record.manifest else {}
    name = record.wildcards["intensity"]
    return [
        (
            name,
            channel,
            counted(f"{low:.2%}", record.path, f"clipped/{channel}/0"),
            counted(f"{high:.2%}", record.path, f"clipped/{channel}/1"),
            counted(f"{counts['collapsed'][channel]:.1%}", record.path, f"collapsed/{channel}"),
            counted(str(levels), record.path, f"grey_levels/{channel}"),
        )
        for channel, levels in counts.get("grey_levels", {}).items()
        for low, high in (counts["clipped"][channel],)
    ]
