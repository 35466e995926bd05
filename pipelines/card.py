"""The data-set card of a run: a README by which `load_dataset("DIR")` reads the folder as is (DESIGN section 8)."""

from collections.abc import Mapping, Sequence

import yaml
from datasets import DatasetInfo, SplitDict, SplitInfo

from pipelines.run_folder import RunFolder

DATA_FILES = {
    "parquet": "data/{}-*.parquet",
    "webdataset": "data/{}-*.tar",
    "imagefolder": "data/{}-*/*",
}
TAGS = ("hands", "synthetic", "mano", "handloom")
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def front_matter(run: RunFolder, title: str, rows: int, tags: Sequence[str] = TAGS) -> str:
    """The YAML that the Hub and `datasets` read."""
    plan = run.plan
    matter: dict[str, object] = {
        "pretty_name": title,
        "tags": list(tags),
        "task_categories": ["keypoint-detection", "text-to-image"],
        "size_categories": [next((name for limit, name in SIZES if rows < limit), "n>1M")],
    }
    if rows:
        files = [{"split": plan.split, "path": DATA_FILES[plan.format].format(plan.split)}]
        matter["configs"] = [{"config_name": "default", "data_files": files}]
        if plan.format == "parquet":
            matter["dataset_info"] = _dataset_info(run)._to_yaml_dict()
    return yaml.safe_dump(matter, sort_keys=False, allow_unicode=True, width=120)


def _dataset_info(run: RunFolder) -> DatasetInfo:
    """Columns and sizes; without the sizes, `datasets` takes folders of one name for the same and loads the first."""
    manifest, split = run.manifest(), run.plan.split
    size = sum(entry["bytes"] for entry in manifest["shards"])
    splits = SplitDict({split: SplitInfo(name=split, num_bytes=size, num_examples=manifest["rows"])})
    return DatasetInfo(features=run.plan.features, splits=splits, download_size=size, dataset_size=size)


def card_text(
    run: RunFolder,
    title: str,
    summary: str,
    columns: Mapping[str, str],
    sections: Mapping[str, str],
    tags: Sequence[str] = TAGS,
) -> str:
    """The whole card in Markdown.

    Args:
        run: all of its shards written.
        title: first heading.
        summary: the paragraph under it.
        columns: column -> what it holds, with shape and unit.
        sections: heading -> Markdown, in order.
        tags: what the Hub finds it by.

    Raises:
        ValueError: a column without a description, or the other way round.
    """
    odd = sorted(columns.keys() ^ run.plan.features.keys())
    if odd:
        raise ValueError(f"The card's columns differ from the data set's in {', '.join(odd)}.")
    manifest = run.manifest()
    lines = [f"---\n{front_matter(run, title, manifest['rows'], tags)}---\n", f"# {title}\n", f"{summary}\n"]
    lines.append(
        f"{manifest['rows']:,} rows in {sum(1 for entry in manifest['shards'] if entry['file'])} shard(s)"
        f"; {manifest['rejected']:,} sample(s) rejected (`rejected.jsonl`).\n"
    )
    load = f'load_dataset("DIR", split="{run.plan.split}")'
    lines.append(f"```python\nfrom datasets import load_dataset\n\nhands = {load}\n```\n")
    table = [f"| `{name}` | {holds} |" for name, holds in columns.items()]
    lines.append("\n".join(["## Columns\n", "| column | holds |", "|---|---|", *table, ""]))
    for heading, text in sections.items():
        lines.append(f"## {heading}\n\n{text.strip()}\n")
    return "\n".join(lines)
