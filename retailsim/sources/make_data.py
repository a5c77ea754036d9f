"""Make a synthetic retailer: weekly transaction files as published, and the truth that was planted in them.

Writes raw_data/transactions_yyyyww.csv and raw_data/truth/ (habits, complements, substitutes, seasons, promotions,
prices, elasticities, ranges, missions).
"""

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from retailsim import console
from retailsim.errors import UserError
from retailsim.sources.faults import ERA
from retailsim.sources.synthetic_files import file_name, week_table, write_week
from retailsim.sources.synthetic_shopping import Retailer, monday_of
from retailsim.sources.synthetic_truth import FOLDER, finish_mark, is_marked, write_mark, write_truth

LEAST = {"customers": 1, "products": 24, "stores": 1, "weeks": 1, "seed": 0}
DAYS = (date.fromisoformat(ERA[1]) - monday_of(1)).days + 1  # later ones would be set aside by the first stage
MOST = {"products": 99_999, "stores": 99_999, "weeks": DAYS // 7}


def make_data(
    output: Path = Path("raw_data"),
    customers: int = 400,
    products: int = 300,
    stores: int = 8,
    weeks: int = 117,
    seed: int = 0,
) -> None:
    """A synthetic retailer with known truth → weekly transactions_yyyyww.csv, and the truth beside them.

    Args:
        output: folder to write to.
        customers: customers with a card; a quarter as many shop without one.
        products: products of the catalogue, at least 24.
        stores: stores, of four formats.
        weeks: weeks of data, from 10 April 2006 on; the first weeks are the same whatever their number.
        seed: same seed and sizes, same files.
    """
    sizes = {"customers": customers, "products": products, "stores": stores, "weeks": weeks, "seed": seed}
    for name, value in sizes.items():
        if value < LEAST[name] or value > MOST.get(name, value):
            raise UserError(
                f"--{name} {value} makes no retailer: give at least {LEAST[name]}"
                + (f" and at most {MOST[name]}" if name in MOST else "")
            )
    files = _earlier_files(output)
    retailer = Retailer(customers, products, stores, seed)
    write_mark(output, sizes)
    for file in files:
        file.unlink()
    rows = 0
    with console.progress("rows", transient=True) as bar:
        task = bar.add_task("weeks", total=weeks, rate="")
        for week in range(1, weeks + 1):
            table = week_table(retailer, *retailer.shop(week), week)
            write_week(output, week, table)
            rows += len(table)
            bar.update(task, completed=week, rate=f"{rows / max(bar.tasks[task].elapsed or 0, 0.001):,.0f}")
    write_truth(output, retailer, weeks)
    finish_mark(output)
    console.out.print(
        f"{output}: {rows:,} rows in {weeks} files {file_name(1)} … {file_name(weeks)}; truth in {output / FOLDER}"
    )


def _earlier_files(output: Path) -> list[Path]:
    """The weekly files of an earlier synthetic retailer; a UserError where the files are somebody else's."""
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file: name a folder with --output")
    files = sorted(output.glob("transactions*"))
    if files and not is_marked(output):
        raise UserError(
            f"{files[0]} was not made by make-data and would be mixed with it: name another folder with --output"
        )
    return files


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    return console.run(make_data, argv)


if __name__ == "__main__":
    sys.exit(main())
