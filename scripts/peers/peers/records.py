"""Records in convlab's schema (METHODOLOGY.md, crates/conv-report/src/record.rs)."""

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

Record = dict[str, Any]

FILE_NAME = "records.jsonl"

# All records of one comparison are replaced together, as by `convlab bench`.
COMPARISON = ("kind", "name", "isa", "batch", "threads", "model", "cache", "clock")


def statistics(samples: list[float]) -> Record:
    """The fields of times in nanoseconds."""
    middle = median(samples)
    return {
        "samples": len(samples),
        "min_ns": float(min(samples)),
        "median_ns": float(middle),
        "mad_ns": float(median(abs(sample - middle) for sample in samples)),
    }


def other_record(base: Record, name: str, results: dict[str, Record], failures: dict[str, str], flops: float) -> Record:
    """The record of another engine: `base` and its times, or why there are none."""
    record = base | {"algorithm": name}
    if name in failures:
        print(f"  {name} failed: {failures[name]}", file=sys.stderr)
        return record | {"failure": failures[name]}
    return record | results[name] | {"gflops_effective": flops / results[name]["median_ns"]}


def merge_into(folder: Path, records: list[Record]) -> Path:
    """Writes `records` in the place of those of the same comparison; all others stay.

    Written beside the file, then renamed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    old = path.read_text().splitlines() if path.exists() else []
    new = {_comparison(record) for record in records}
    lines = [line for line in old if line.strip() and _comparison(json.loads(line)) not in new]
    lines += [json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records]
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
        file.write("".join(f"{line}\n" for line in lines))
    # As any other file, not as a temporary one.
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
    return path


def _comparison(record: Record) -> tuple[Any, ...]:
    return tuple(record.get(field) for field in COMPARISON)
