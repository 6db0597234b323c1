"""The demo: four tasks on the built-in corpora, each trained, evaluated, exported and asked."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from seq_models.exports import export
from seq_models.tasks import TASKS
from seq_models.tasks.task import unbatch
from seq_models.text import corpora
from seq_models.training.trainer import SAMPLE_TEXTS

RECIPES: dict[str, dict[str, Any]] = {
    "language-model": {"size": 60_000, "epochs": 3, "model": {"units": 128, "embedding_units": 64}},
    "labeler": {"size": 6_000, "epochs": 2, "model": {"units": 32, "characters": False}},
    "classifier": {"size": 30_000, "epochs": 4, "model": {"units": 48, "pooling": "last", "dropout": 0.0}},
    "encoder-decoder": {"size": 30_000, "epochs": 4, "model": {"units": 96, "cell": "gru"}},
}
TOKENIZERS = {"english": "whitespace", "chinese": "words"}  # the latter takes each Chinese character by itself
QUESTIONS = {
    "english": {
        "language-model": [f"the flights the airline was canceling {be} full" for be in ("were", "was")],
        "labeler": ["the pilots book the flights", "she reads the book"],
        "classifier": ["the library was not boring", "the doctor was kind , but the book was boring"],
        "encoder-decoder": ["the green witch arrived", "the old books were boring"],
    },
    "chinese": {
        "language-model": [f"航空公司取消的那{measure}航班很漫长" for measure in "趟本"],
        "labeler": ["那 家 企业 计划 了 一 次 旅行", "那 份 计划 很 无聊"],
        "classifier": ["那座图书馆不无聊", "那位医生很善良，但是那本书很无聊"],
        "encoder-decoder": ["the green witch arrived", "the old books were boring"],
    },
}
# The score of the table: its name, how it is written, and what it is held against.
SCORES = {
    "language-model": ("perplexity", "{:.3f}", "{:.3f} lowest possible"),
    "labeler": ("accuracy", "{:.2%}", "≥ 99 % expected"),
    "classifier": ("accuracy", "{:.2%}", "≥ 98 % expected"),
    "encoder-decoder": ("exact_match", "{:.2%}", "≥ 99 % expected"),
}


def demo(out: Path, share: float = 1.0, language: str = "english") -> None:
    """Runs all four tasks and prints what they reach.

    Args:
        out: Directory of the run directories and exports; those of an earlier demo stay, exports get a new version.
        share: Of the examples that a recipe trains on.
        language: Of the built-in corpora, see `corpora.load`.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table("task", "score on test", "held against", "seconds", "export")
    for task_name, task in TASKS.items():
        name = task_name if language == "english" else f"{task_name}-{language}"
        console.rule(name)
        started = time.perf_counter()
        recipe = RECIPES[task_name]
        corpus = corpora.load(task_name, train_size=int(share * recipe["size"]), language=language)
        model = train(task, corpus, recipe, language=language)
        scores = model.score(corpus.test)
        model.sample_texts = [model.question(example) for example in corpus.valid[:SAMPLE_TEXTS]]
        model.save_run(out / "runs" / name)
        path = export(model, out / "exports" / name)
        _ask(console, model, path, QUESTIONS[language][task_name])
        score, written, bound = SCORES[task_name]
        seconds = f"{time.perf_counter() - started:.0f}"
        reached = f"{score} {written.format(scores[score])}"
        table.add_row(name, reached, bound.format(corpus.lowest_perplexity), seconds, str(path))
    console.print(table)


def train(
    task: Any,
    corpus: corpora.Corpus,
    recipe: dict[str, Any],
    callbacks: Sequence[Any] = (),
    seed: int = 1,
    language: str = "english",
) -> Any:
    """A model of a task, trained as the demo does.

    Args:
        task: A class of `TASKS`, or one with the same verbs.
        corpus: Its data.
        recipe: One of `RECIPES`.
        callbacks: Of `fit`.
        seed: Of weights and dropout.
        language: That of the corpus.
    """
    keras.utils.set_random_seed(seed)
    tokenizer = "whitespace" if task.task_name == "labeler" else TOKENIZERS[language]  # a labeler's are cut already
    model = task.from_examples(corpus.train, tokenizer=tokenizer, **recipe["model"])
    train, valid = model.dataset(corpus.train, shuffle=True), model.dataset(corpus.valid)
    steps = recipe["epochs"] * len(train)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)), clip_norm=5.0)
    verbose = 1 if sys.stdout.isatty() else 2  # a bar, or a line an epoch
    model.fit(train, validation_data=valid, epochs=recipe["epochs"], verbose=verbose, callbacks=list(callbacks))
    return model


def _ask(console, model, path, questions):
    """Prints answers of the export, loaded anew; that they are those of the model, its gate has seen."""
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    answers = unbatch(served(text=tf.constant(questions)))
    for question, answer in zip(questions, answers, strict=True):
        console.print(f"  {question}  →  {model.line(answer)}", markup=False, highlight=False)
