"""Which files of a folder a source is made of, whatever the case of their suffixes (SPEC C1, C4)."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from retailsim.errors import UserError
from retailsim.sources.mapping import Join

CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.zst")
SUFFIXES = (*CSV_SUFFIXES, ".parquet")
RECEIPTS = "transactions"  # with which the names of a folder's files of receipts begin
NO_RECEIPTS = (".md5", ".sha1", ".sha256", ".sha512", ".crc", ".asc", ".sig", ".md", ".yaml", ".yml")  # lie beside them


def suffix_of(file: Path) -> str:
    """The one of SUFFIXES in which the name of `file` ends, in small letters; empty where it ends in none.

    >>> suffix_of(Path("transactions_200608.CSV.GZ")), suffix_of(Path("transactions_200608.zip"))
    ('.csv.gz', '')
    """
    return next((suffix for suffix in SUFFIXES if file.name.lower().endswith(suffix)), "")


def data_files(folder: Path) -> list[Path]:
    """What is called as a data file in `folder`, in the order of the names."""
    return sorted(file for file in folder.iterdir() if suffix_of(file) and not file.name.startswith("."))


def receipts_of(folder: Path) -> list[Path]:
    """The `transactions*` entries of `folder` that may hold receipts, those that cannot be read among them, or its only data file.

    An archive beside the file that was taken out of it, of the same name but for the suffix, is passed by. `time.csv`, the calendar that the published data has beside the receipts, is none.
    """
    entries = sorted(entry for entry in folder.iterdir() if entry.name.lower().startswith(RECEIPTS))
    named = [entry for entry in entries if suffix_of(entry) or not _is_passed_by(entry, entries)]
    others = [file for file in data_files(folder) if file.name.lower() != "time.csv"]
    return named or (others if len(others) == 1 else [])


def matching_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files of `folder` that a name or pattern such as orders_*.csv stands for, in any of SUFFIXES and any case.

    A file that a pattern means but for its suffix, such as orders_3.txt, is a UserError: nobody would read it.
    """
    stems = [pattern.lower().removesuffix(suffix_of(Path(pattern))) for pattern in patterns]
    found, entries = [], sorted(folder.iterdir())
    for file in entries:
        name, suffix = file.name.lower(), suffix_of(file)
        if file.is_file() and any(fnmatchcase(name, stem + suffix) for stem in stems if suffix):
            found.append(file)
        elif not suffix and not _is_passed_by(file, entries):
            for stem in stems:
                if _names_a_kind(stem) and fnmatchcase(name, f"{stem}.*"):
                    raise unknown_suffix(file, f"take it out of {folder}")
    return found


def _is_passed_by(entry: Path, entries: Iterable[Path]) -> bool:
    """Whether `entry` is no file of rows: a checksum or text, or the archive of a file that lies beside it, of the same name."""
    name = entry.name.lower()
    unpacked = (other.name.lower() for other in entries if suffix_of(other))
    return name.endswith(NO_RECEIPTS) or any(
        name.rpartition(".")[0] in (other, other.removesuffix(suffix_of(Path(other)))) for other in unpacked
    )


def _names_a_kind(stem: str) -> bool:
    """Whether `stem` stands for files of one kind: a pattern that says more than "all"."""
    return "*" in stem and stem.strip("*") != ""


def side_file(folder: Path, join: Join) -> Path | None:
    """The file of `join` in `folder`; None where an optional one is not there, a UserError where it is needed."""
    found = matching_files(folder, [join.file])
    if not found and not join.optional:
        raise UserError(f"{folder / join.file} is missing: the mapping joins it by {join.key}; put it beside the rows")
    if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1].name} would be the same side file: take one out of {folder}")
    return found[0] if found else None


def unknown_suffix(file: Path, otherwise: str) -> UserError:
    """The error for a file of another kind; `otherwise` says what to do if it is not to be converted."""
    return UserError(f"{file} is none of {', '.join(SUFFIXES)}: convert it, or {otherwise}")


def refuse_empty(file: Path) -> None:
    """A UserError where `file` has no byte."""
    if file.stat().st_size == 0:
        raise UserError(f"{file} is empty: fetch it again, or take it out of {file.parent}")
