"""The probability of texts by a language model."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from typing import Any

from seq_models.commands.answers import OUTPUTS, Print, opened
from seq_models.commands.asking import add_input, chunks, text_of
from seq_models.errors import InputError
from seq_models.text.questions import Question

HELP = "log-probability, perplexity and bits per character of each text, by a language model"
OF_TOKENS = ("tokens", "log_probabilities")

Scored = tuple[Question, dict[str, Any]]


def add(parser: ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR")
    add_input(parser, "--data")
    parser.add_argument("--tokens", action="store_true", help="the log-probability of each token, too, a token a line")
    parser.add_argument(
        "--rerank",
        action="store_true",
        help="the most probable text first; lines without text end one list of candidates and begin the next",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object a text")
    parser.add_argument(
        "--output", metavar="FILE", help=f"write scores to a new file, beside their input: {' '.join(OUTPUTS)}"
    )


def run(options: Namespace) -> None:
    from seq_models.catalog import load_run

    with opened(options.output) if options.output else Print(options.json) as output:
        model: Any = load_run(options.directory)
        if not hasattr(model, "score_tokens"):
            raise InputError(f"{options.directory} must be the run of a language model. Received: {model.task_name}")
        scored = _scored(model, options)
        for question, answer in _reranked(scored) if options.rerank else scored:
            line = _line(text_of(question), answer, options.tokens)
            shown = {name: answer[name] for name in answer if options.tokens or name not in OF_TOKENS}
            output.write(question, shown, line)


def _scored(model, options) -> Iterator[Scored]:
    """The questions with their scores, as they come."""
    for chunk in chunks(model, options, quiet=bool(options.output) or not sys.stdout.isatty()):
        yield from zip(chunk, model.score_tokens(list(map(text_of, chunk))), strict=True)


def _reranked(scored: Iterable[Scored]) -> Iterator[Scored]:
    """The most probable of each list of candidates first, with its `rank` from 1 on; a text of nothing ends a list."""
    candidates: list[Scored] = []
    for question, answer in scored:
        if text_of(question).strip():
            candidates.append((question, answer))
            continue
        yield from _in_order(candidates)
        candidates = []
    yield from _in_order(candidates)


def _in_order(candidates):
    ordered = sorted(candidates, key=lambda scored: -scored[1]["log_probability"])
    return ((question, {"rank": rank, **answer}) for rank, (question, answer) in enumerate(ordered, start=1))


def _line(text: str, answer: dict[str, Any], tokens: bool) -> str:
    """The scores and the text; then, where tokens are asked for, a line for each and one without any at the end."""
    scores = [answer["log_probability"], answer["perplexity"], answer["bits_per_character"]]
    rank = [str(answer["rank"])] if "rank" in answer else []
    line = "\t".join([*rank, *(f"{score:z.4f}" for score in scores), text])
    rows = zip(answer["log_probabilities"], answer["tokens"], strict=True)
    return line + "".join(f"\n{log_p:z.4f}\t{token}" for log_p, token in rows) + "\n" if tokens else line
