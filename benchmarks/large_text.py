"""A large text: megabytes a second of its vocabulary, and the memory that training and scoring take.

    python benchmarks/large_text.py [--megabytes N] [--seconds S] [--only lines paragraphs] [--out FILE]

The text is made here, the same one every time: words are drawn from a vocabulary of four million, the r-th with
probability ∝ 1/r up to the 10,000th and ∝ 1/r² after it, the two regimes of large corpora [1]. A word is its number in
syllables of a consonant and a vowel, of Latin with accents, Cyrillic, Greek or Devanagari by turns, and a tenth of the
text are clauses of Han characters without spaces. `lines` has 18 words a line, `paragraphs` 20,000.

vocabulary  of the whole text by `LanguageModelPreprocessor`, from the file to the last token: megabytes a second
training    `seq-models train language-model` with vocabulary_size=33000 and else default options, ended by SIGTERM when
            its first checkpoint is there
scoring     `seq-models evaluate` and `seq-models score` with a model of the first megabyte, ended after some seconds

Memory is the largest resident one of the process (`os.wait4`); it does not depend on what runs beside, the speed does.
Writes benchmarks/results/large_text.json and prints the table.

References:
    [1] Ferrer i Cancho and Solé 2001, Two Regimes in the Frequency of Words and the Origins of Complex Lexicons.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results" / "large_text.json"
SYLLABLES = [
    [consonant + vowel for consonant in consonants for vowel in vowels]
    for consonants, vowels in (
        ("bcdfghjklmnprstvwz", "aeiouáéöü"),
        ("бвгджзклмнпрстфхцчшщ", "аеиоуыэюя"),
        ("βγδζθκλμνξπρστφχψ", "αεηιουωά"),
        ("कखगघचछजझटठडढतथदधनपफबभम", ("ा", "ि", "ी", "ु", "े", "ो", "ं")),
    )
]
SCRIPTS = (0, 0, 0, 0, 1, 1, 2, 3)  # of the words, by turns
KNEE = 10_000  # the rank from which on words are as rare as 1/r²
HAN = 6000  # characters
WORDS = 20_000  # that are drawn at once
FORMS = {"lines": 18, "paragraphs": WORDS}
TRAIN = "train language-model --set vocabulary_size=33000 checkpoint_seconds=5"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=120, help="of each way of scoring (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    result = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    result["machine"] = f"{os.cpu_count()} CPU cores"
    for form in options.only:
        with tempfile.TemporaryDirectory() as directory:
            result[form] = measure(form, options.megabytes, options.seconds, Path(directory))
        options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(table(result))


def measure(form, megabytes, seconds, folder):
    """One form of the text, in a folder."""
    for name, size in {"text": megabytes, "small": 1}.items():
        write_text(folder / f"{name}.txt", size * 1_000_000, FORMS[form])
    words, whitespace = (speed(folder / "text.txt", megabytes, tokenizer) for tokenizer in ("words", "whitespace"))
    data = "--train text.txt --valid small.txt --out run"
    checkpoint = folder / "run" / "checkpoints"
    training = peak(f"{TRAIN} {data}", folder, lambda: checkpoint.is_dir() and any(checkpoint.iterdir()))
    peak(f"{TRAIN} epochs=1 --train small.txt --valid small.txt --out small", folder)
    ended = {verb: deadline(seconds) for verb in ("evaluate", "score")}
    scoring = {verb: peak(f"{verb} small --data text.txt", folder, end) for verb, end in ended.items()}
    speeds = {"words MB/s": words, "whitespace MB/s": whitespace}
    return {"megabytes": megabytes, **speeds, "training MB": training, **{f"{v} MB": n for v, n in scoring.items()}}


def write_text(path, size, line):
    """A text of so many bytes, with so many words in a line."""
    random = np.random.default_rng(1)
    known = {}
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < size:
            words = [known.get(rank) or known.setdefault(rank, spelled(rank)) for rank in ranks(random).tolist()]
            words[::90] = clauses(random, len(words[::90]))
            file.writelines(" ".join(words[start : start + line]) + " .\n" for start in range(0, WORDS, line))


def ranks(random, number=WORDS):
    """Of drawn words, integers from 1 to 4 million."""
    share = np.log(KNEE) / (np.log(KNEE) + 1)  # of the words before the knee
    before, after = KNEE ** random.random(number), KNEE / np.maximum(random.random(number), KNEE / 4e6)
    return np.where(random.random(number) < share, before, after).astype(int)


def spelled(rank):
    """The word of a rank."""
    syllables, word = SYLLABLES[SCRIPTS[rank % len(SCRIPTS)]], ""
    while rank:
        word, rank = word + syllables[rank % len(syllables)], rank // len(syllables)
    return word


def clauses(random, number):
    """Clauses of five to thirty Han characters."""
    characters = (HAN ** random.random((number, 30))).astype(int) + 0x4E00
    lengths = random.integers(5, 31, number)
    return ["".join(map(chr, row[:length])) + "，" for row, length in zip(characters, lengths, strict=True)]


def speed(path, megabytes, tokenizer):
    """Megabytes a second of a vocabulary, in a process of its own that has imported all before."""
    code = (
        "import sys, time\n"
        "from seq_models.text.examples import read_examples\n"
        "from seq_models.text.preprocessors import LanguageModelPreprocessor as Preprocessor\n"
        "options = Preprocessor.options_class(tokenizer=sys.argv[2])\n"
        "Preprocessor.learned(['warm'], options)\n"
        "started = time.perf_counter()\n"
        "Preprocessor.learned(read_examples(sys.argv[1]), options)\n"
        "print(time.perf_counter() - started)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code, path, tokenizer], check=True, capture_output=True, text=True)
    return round(megabytes / float(printed.stdout), 1)


def peak(arguments, folder, ended=lambda: False):
    """`peak_of` a `seq-models` command."""
    return peak_of([sys.executable, "-m", "seq_models.cli", *arguments.split()], folder, ended)


def peak_of(words, folder, ended=lambda: False):
    """The largest resident memory of a command in MB; it is told to end once `ended()`."""
    with (folder / "log").open("w+") as log, subprocess.Popen(words, cwd=folder, stdout=log, stderr=log) as process:
        told = False
        while (found := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if not told and (told := ended()):
                process.terminate()
            time.sleep(0.1)
        process.returncode = os.waitstatus_to_exitcode(found[1])
        if process.returncode not in ((0, -signal.SIGTERM, 128 + signal.SIGTERM) if told else (0,)):
            log.seek(0)
            sys.exit(f"{words} must succeed. Received: exit code {process.returncode}\n{log.read()}")
    return round(found[2].ru_maxrss / 1000)


def deadline(seconds):
    """A function that says whether so many seconds are over since it was first asked."""
    first = []
    return lambda: time.monotonic() - (first or first.append(time.monotonic()) or first)[0] > seconds


def table(result):
    lines = [
        "| text | words, MB/s | white space, MB/s | training, peak MB | evaluate | score |",
        "|---|---|---|---|---|---|",
    ]
    for form in FORMS:
        if form in result:
            megabytes, *numbers = result[form].values()
            lines.append(f"| {form}, {megabytes:,} MB | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
