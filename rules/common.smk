# Helpers of all rules: the validated configuration, and what each job reads of it. The only rules file with functions.
import math
import re
import sys
from functools import lru_cache

from platemae.config import load_config, machine_config, stage_config, stage_entries
from platemae.config.checks import check_cells, check_images
from platemae.config.chosen_plates import map_plates, profile_plates, unit_plates
from platemae.config.machine import earlier_twins, shared_snapshots
from platemae.config.plate_table import PlateTable
from platemae.config.plates import layout_files, metadata_path, read_plates, resolve
from platemae.config.slices import basis_path, fit_name, training_sets
from platemae.contracts import JOINT_CORRECTIONS, TABLE_KINDS, canonical
from platemae.errors import PlatemaeError
from platemae.fingerprint import code_digest
from platemae.layout import Results as ResultsFolder
from platemae.planning.asked import (
    CONTROL_SHARE,
    HOLDS_MAP,
    HOLDS_PLATE,
    LEAST,
    map_memory_mb,
    minutes_of,
    plate_memory_mb,
)
from platemae.planning.ceilings import at_attempt
from platemae.readers.detect import inputs_of
from platemae.snakemake_groups import check_mixed_groups_only
from platemae.snakemake_signatures import remember_signatures
from platemae.snakemake_states import read_states_by_first_word

try:
    CONFIG = load_config(config, "configuration")
    TABLE = Path(workflow.basedir, CONFIG.plates)
    PLATES = PlateTable(read_plates(TABLE, [reader.name for reader in CONFIG.readers]))
    check_images(CONFIG, PLATES)
    check_cells(CONFIG, PLATES)
except PlatemaeError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

check_mixed_groups_only()
remember_signatures()
read_states_by_first_word()

# Captions of Snakemake's own report quote what really holds: every value, defaults among them.
config.update(CONFIG.model_dump(mode="json"))

RESULTS = str(Path(workflow.basedir, CONFIG.results))
FOLDER = ResultsFolder(Path(RESULTS))
# A Path, which Snakemake does not compare: raw data that moved with its table reruns nothing.
BASE = TABLE.parent
PLATE_NAMES = sorted(plate.plate for plate in PLATES)
MAP_PLATES = map_plates(CONFIG, PLATES)
PROFILES = [model.name for model in CONFIG.rows if model.kind in TABLE_KINDS]
TWINS = earlier_twins(CONFIG, PLATES)
NETWORKS = [model.name for model in CONFIG.rows if model.kind not in TABLE_KINDS]
# Templates, style and scripts of the report, which no digest of code covers.
PAGE_FILES = sorted(
    str(path)
    for folder in ("report/templates", "report/assets", "look")
    for path in Path(workflow.basedir, "src/platemae", folder).rglob("*.*")
    if path.suffix in (".j2", ".css", ".js")
)


wildcard_constraints:
    plate="[^/]+",
    model="[^/]+",
    correction="[^/]+",
    intensity="[^/]+",
    dataset="[^/]+",
    fit_on="[^/]+",


def names(section):
    """Names of a list section's entries; snapshots are models, too."""
    entries = CONFIG.rows if section == "models" else getattr(CONFIG, section)
    return [entry.name for entry in entries]


def any_of(values):
    """Wildcard constraint: one of these names, or nothing at all."""
    return "|".join(re.escape(value) for value in values) or "(?!)"


def cfg(stage):
    """What a job reads of the configuration, in its one JSON spelling."""
    return lambda wildcards: canonical(
        stage_config(CONFIG, PLATES, stage, **dict(wildcards))
    )


def machine(stage):
    """What a job reads of the configuration that moves its result by rounding at most. A Path, which Snakemake does not
    compare: another device, cache or batch must not stale what was made."""
    return lambda wildcards: Path(
        canonical(machine_config(CONFIG, PLATES, stage, **dict(wildcards)))
    )


@lru_cache(maxsize=None)
def digest_of(stage, entries):
    """Digest of a stage's code, once: to walk its imports for each of ten thousand jobs takes half of a dry run."""
    return code_digest(stage, entries)


def code(stage):
    """Digest of the code that a job can reach."""
    return lambda wildcards: digest_of(
        stage, tuple(stage_entries(CONFIG, PLATES, stage, **dict(wildcards)))
    )


def plate_row(wildcards):
    return PLATES.by_name[wildcards.plate]


def layout_of(wildcards):
    """Files that say what is in the plate's wells, and in its cells where it is pooled."""
    section = CONFIG.layouts.model_dump(mode="json")
    files = layout_files(plate_row(wildcards), section, TABLE.parent)
    return [str(path) for path in files]


def metadata_of(wildcards):
    """The instrument's own metadata files, where the reader has some; never the images."""
    reader = CONFIG.entry("readers", plate_row(wildcards).reader)
    if reader.metadata:
        return [str(metadata_path(reader.metadata, wildcards.plate, TABLE.parent))]
    folder = resolve(plate_row(wildcards).path, TABLE.parent)
    return [str(path) for path in inputs_of(reader.kind, folder)]


def plates_of(stage, key):
    """Plates that an entry of the configuration names."""
    return lambda wildcards: stage_config(CONFIG, PLATES, stage, **dict(wildcards))[
        key.split(".")[0]
    ][key.split(".")[1]]


def manifests(pattern, plates):
    """One manifest a plate that the function ``plates`` names."""
    return lambda wildcards: [
        pattern.format(**{**dict(wildcards), "plate": plate})
        for plate in plates(wildcards)
    ]


def model_entry(wildcards):
    return CONFIG.entry("models", wildcards.model)


def stats_manifest(wildcards, plate):
    """Statistics of the wells of a plate that a correction is fitted on."""
    fit_on = fit_name(CONFIG, wildcards.correction)
    return f"control_stats/{wildcards.model}/{fit_on}/{plate}.manifest.json"


def unit_manifests(wildcards):
    """Control statistics of all plates that are aligned together with this one."""
    plates = unit_plates(CONFIG, PLATES, wildcards.correction, wildcards.plate)
    return [stats_manifest(wildcards, plate) for plate in plates]


def fit_manifests(wildcards):
    """What a basis is fitted on; a correction without a transform also reads all wells. A frozen basis reads none."""
    cut = stage_config(CONFIG, PLATES, "fit_correction", **dict(wildcards))[
        "correction"
    ]
    made = [stats_manifest(wildcards, plate) for plate in cut["fit_plates"]]
    if cut["kind"] in JOINT_CORRECTIONS:
        made += [
            f"embeddings/{wildcards.model}/{plate}.manifest.json"
            for plate in cut["fit_plates"]
        ]
    return made


def frozen_basis(wildcards):
    """The basis that a correction takes from elsewhere."""
    entry = CONFIG.entry("corrections", wildcards.correction)
    path = basis_path(CONFIG, wildcards.correction, wildcards.model)
    return [str(resolve(path, BASE))] if entry.basis else []


def profile_sources(wildcards):
    """What import_profiles reads: also the tables of the plates whose common features are kept."""
    entry = model_entry(wildcards)
    plates = profile_plates(CONFIG, PLATES, wildcards.model, wildcards.plate)
    if entry.kind == "classical":
        return [f"measured/{plate}.manifest.json" for plate in plates]
    if entry.source == "table":
        paths = [entry.table.replace("{plate}", plate) for plate in plates]
        return sorted({str(resolve(path, TABLE.parent)) for path in paths})
    return [f"qc/{wildcards.plate}.manifest.json"]


def memory(stage, most_attempts=math.inf):
    """Megabytes of a job, by the rows of the map or plate that it holds; more at each attempt, up to so many."""

    def asked(wildcards, attempt):
        least = LEAST[stage].memory_mb
        if stage in HOLDS_MAP:
            model, aggregate = wildcards.model, CONFIG.map.aggregate
            least = map_memory_mb(FOLDER, stage, model, MAP_PLATES, aggregate)
        elif stage in HOLDS_PLATE:
            least = plate_memory_mb(FOLDER, stage, wildcards.model, wildcards.plate)
        return at_attempt(stage, "mem_mb", least, min(attempt, most_attempts))

    return asked


def runtime(stage, plates=lambda wildcards: [], share=lambda wildcards: 1.0):
    """Minutes of a job, by the plates whose pixels it reads, or a share of them; more at each attempt."""

    def asked(wildcards, attempt, threads):
        first = minutes_of(FOLDER, stage, plates(wildcards), threads, share(wildcards))
        return at_attempt(stage, "runtime", first, attempt)

    return asked


def own_plate(wildcards):
    return [wildcards.plate]


def control_share(wildcards):
    """Share of its plates that an intensity map reads."""
    on_controls = CONFIG.entry("intensity", wildcards.intensity).fit_on == "negcon"
    return CONTROL_SHARE if on_controls else 1.0


def weight_files(wildcards):
    """What train_model reads instead of training: weights made elsewhere, and what lies beside them."""
    file = model_entry(wildcards).file
    if file is None:
        return []
    path = resolve(file, TABLE.parent)
    weights = path / "model.safetensors" if path.is_dir() else path
    beside = [weights.with_name(name) for name in ("model.json", "config.json")]
    return [str(weights), *(str(facts) for facts in beside if facts.is_file())]


def parent_manifest(wildcards):
    """The finished training that a snapshot is of, or that an earlier model of equal settings shares."""
    parent = getattr(model_entry(wildcards), "parent", TWINS.get(wildcards.model))
    return [f"models/{parent}/manifest.json"] if parent else []


def kept_steps(wildcards):
    """Steps at which a training keeps its network. A Path, which Snakemake does not compare: the weights do not depend
    on it, and a step that is added later must not stale what was trained."""
    steps = shared_snapshots(CONFIG, TWINS, wildcards.model)
    return Path(",".join(map(str, steps)) or "none")


def label_manifests(wildcards):
    """What train_model reads beside pixels: the layouts of its plates, where labels are learned or sampled by."""
    entry = model_entry(wildcards)
    train = stage_config(CONFIG, PLATES, "train_model", model=entry.name)["train"]
    if entry.kind != "wsl" and train["sampling"] != "perturbation":
        return []
    cut = stage_config(CONFIG, PLATES, "build_dataset", dataset=entry.dataset)
    return [f"plates/{plate}.manifest.json" for plate in cut["dataset"]["plates"]]


def domain_manifests(wildcards):
    """What embed_plate reads beside its plate: the others whose batch statistics it shares."""
    cut = stage_config(CONFIG, PLATES, "embed_plate", **dict(wildcards))
    others = set(cut.get("domain", {"plates": []})["plates"]) - {wildcards.plate}
    folders = ("plates", "qc")
    return [
        f"{folder}/{plate}.manifest.json"
        for plate in sorted(others)
        for folder in folders
    ]


def training_manifests(stage):
    """What a map or its scores look up of training sets: their wells, and the layouts of their plates for labels."""
    return lambda wildcards: [
        path
        for dataset, plates in training_sets(CONFIG, PLATES, stage, **dict(wildcards))
        for path in (
            f"datasets/{dataset}.manifest.json",
            *(f"plates/{plate}.manifest.json" for plate in plates),
        )
    ]


def benchmark_files(wildcards):
    """Files of known biology that the benchmarks read."""
    files = [path for entry in CONFIG.benchmarks for _, path in entry.files(MAP_PLATES)]
    return sorted({str(resolve(path, BASE)) for path in files})


def map_files(wildcards):
    """The table that says on which chromosome arm genes lie, where maps are corrected by it."""
    arms = CONFIG.map.chromosome_arms
    return [str(resolve(arms, BASE))] if arms else []


def published_files():
    """Published numbers of the user's own."""
    own = CONFIG.report.published
    return [str(resolve(own, BASE))] if own else []
