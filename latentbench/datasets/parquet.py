"""A table in a Parquet file: ``parquet:PATH``; see `tables`. Needs pyarrow."""

from __future__ import annotations

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import tables
from latentbench.datasets.where import bearable, missing_package, regular, where


def load_parquet(argument: str, data_root: str, seed: int) -> Dataset:
    """The table's rows. Raises ValueError, one line, for whatever cannot be used."""
    asked = where("parquet", argument, tables.OPTIONS)
    path = regular("parquet", asked.place, "a Parquet file")
    try:
        import pyarrow.parquet
    except ImportError:
        raise missing_package("parquet", "pyarrow") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            about = file.metadata
            bearable("its table", 8 * about.num_rows * about.num_columns)
            table = file.read().to_pandas()
    except Exception as error:  # a damaged file makes pyarrow raise errors of every kind
        raise ValueError(f"{path}: cannot be read as Parquet: {' '.join(str(error).split())}") from None
    return tables.from_table(path, table, asked.options, seed)


PARQUET = DatasetEntry(
    "parquet",
    load_parquet,
    "a table of your own in a Parquet file (needs pyarrow)",
    "a file of yours",
    takes="PATH",
    defaults=tables.DEFAULTS,
)
