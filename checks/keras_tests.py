"""Runs Keras's own tests of its recurrent layers on ours: the files of the installed wheel, as they are.

    python checks/keras_tests.py [--select EXPRESSION]

While they run, `keras.layers.LSTM` and the six others of its kind are the classes of `seq_models.layers`; the files are
those that name one of them. A test of LISTED must fail and every other one must pass, or else the exit code is 1.
--select takes an expression of `pytest -k`.
"""

import argparse
import os
import re
import sys
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402  TensorFlow reads the environment once, when it is imported
import pytest  # noqa: E402
from keras.src import layers as layers_of_the_tests  # noqa: E402

import seq_models as sm  # noqa: E402

NAMES = ("SimpleRNNCell", "LSTMCell", "GRUCell", "SimpleRNN", "LSTM", "GRU", "Bidirectional")
FOLDER = Path(keras.__file__).parent / "src" / "layers"
PRIVATE = "asks a private method whether Keras's fused path may run, which takes only the classes of Keras"
LISTED = {"test_fused_lstm_eligibility": PRIVATE, "test_fused_gru_eligibility": PRIVATE}
COLUMNS = ("passed", "failed", "listed", "skipped")
QUIETLY = ("--quiet", "--no-header", "--noconftest", "--tb=short", "-p", "no:cacheprovider", "-W", "ignore")


class Outcomes:
    """A plugin of pytest: listed tests must fail, and how many tests of each file ended in which way is counted."""

    def __init__(self):
        self.counts = defaultdict(Counter)

    def pytest_collection_modifyitems(self, items):
        for item in items:
            if item.name in LISTED:
                item.add_marker(pytest.mark.xfail(reason=LISTED[item.name], strict=True))

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            file = report.nodeid.partition(".py::")[0]
            self.counts[file]["listed" if hasattr(report, "wasxfail") else report.outcome] += 1

    def table(self):
        """A line for each file. Skipped are what Keras itself skips here."""
        rows = [*sorted(self.counts.items()), ("all", sum(self.counts.values(), Counter()))]
        lines = [f"{'':28}" + "".join(f"{column:>9}" for column in COLUMNS)]
        lines += [f"{file:28}" + "".join(f"{count[column]:9}" for column in COLUMNS) for file, count in rows]
        return "\n".join(lines + [f"listed: {name} {reason}" for name, reason in LISTED.items()])


def files():
    """The test files of Keras's layers that name a class of ours."""
    named = re.compile(rf"\blayers\.({'|'.join(NAMES)})\b")
    return sorted(str(path) for path in FOLDER.rglob("*_test.py") if named.search(path.read_text("utf-8")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--select", default="", metavar="EXPRESSION", help="only these tests")
    select = parser.parse_args().select
    outcomes, ours = Outcomes(), {name: getattr(sm.layers, name) for name in NAMES}
    with ExitStack() as replaced:
        for module in (keras.layers, layers_of_the_tests):
            replaced.enter_context(mock.patch.multiple(module, **ours))
        code = pytest.main([*QUIETLY, "-c", os.devnull, f"--rootdir={FOLDER}", "-k", select, *files()], [outcomes])
    print(f"\nThe tests of Keras {keras.__version__} on the layers of seq_models {sm.__version__}:\n{outcomes.table()}")
    return code


if __name__ == "__main__":
    sys.exit(main())
