#!/usr/bin/env python3
"""Turns the Parquet files of a data set into JSON lines, one object a row, columns as they are.

    tools/parquet2jsonl.py train-*.parquet >train.jsonl

Needs pyarrow. Rows keep their order, files that of the command line. Bytes become text (UTF-8, or the script
ends with a sentence), numbers that JSON does not have become null, dates their ISO 8601 text.
"""
import argparse
import json
import math
import sys

import pyarrow.parquet


def plain(value):
    """The value in JSON's types."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def convert(path, columns, out):
    """Row group by row group, so that a large file needs little memory."""
    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                out.write(json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.parquet")
    parser.add_argument("--columns", help="only these, separated by commas")
    arguments = parser.parse_args()
    columns = arguments.columns.split(",") if arguments.columns else None
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for path in arguments.files:
        try:
            convert(path, columns, sys.stdout)
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            sys.exit(f"parquet2jsonl: {path}: {error}")


if __name__ == "__main__":
    main()
