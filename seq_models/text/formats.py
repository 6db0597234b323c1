"""The format of records for each ending of a file."""

from seq_models.text.conll import Conll, Conllu
from seq_models.text.records import Format
from seq_models.text.tables import JsonLines, Table, csv_rows, tsv_rows

TEXT = ".txt"
FORMATS: dict[str, Format] = {  # apart from plain text
    ".tsv": Table(tsv_rows, "a tab"),
    ".csv": Table(csv_rows, "a comma"),
    ".jsonl": JsonLines(),
    ".conllu": Conllu(),
    ".conll": Conll(),
    ".bio": Conll(),
}
