"""The embedding of a run as a file of vectors."""

from argparse import ArgumentParser, Namespace

HELP = "write the embedding of a run as a file of vectors"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--out", required=True, metavar="FILE", help="a new file, .vec or .txt: text with a header")
    parser.add_argument("--embedding", metavar="NAME", help="which one, as target_embedding (default: the first)")


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run

    load_run(options.directory).write_vectors(options.out, options.embedding)
    print(options.out)
