"""Names of products, from a file of the shop's: columns `product_id` and `name`, CSV or Parquet (C36)."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from retailsim.errors import UserError

COLUMNS = ("product_id", "name")


def read_names(path: Path) -> dict[str, str]:
    """Product id → name; a UserError says what is wrong with the file."""
    if not path.is_file():
        raise UserError(
            f"--catalogue {path} does not exist: name a CSV or Parquet file with columns product_id and name"
        )
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
            table = csv.read_csv(
                path, convert_options=csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
            )
        columns = [table[name].cast(pa.string()).to_pylist() for name in COLUMNS]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise UserError(
            f"--catalogue {path} is no CSV or Parquet file with columns product_id and name ({' '.join(str(error).split())})"
        ) from error
    return {product: name for product, name in zip(*columns, strict=True) if product and name}
