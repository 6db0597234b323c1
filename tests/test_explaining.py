"""What tokens contribute to a class: by enumeration, by finite differences, as coloured text, on the command line."""

import html
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import small

import seq_models as sm
from seq_models import cli
from seq_models.commands.ways import Explained
from seq_models.tasks.explaining import Explanation, Explanations, occlusion

TEXTS = ["a b c", "", "e unknown d b a", "c"]
ENTITIES = [(["a", "b", "c"], ["B-X", "I-X", "O"]), (["b", "d"], ["O", "B-X"])]


@pytest.fixture(scope="module")
def model():
    """A classifier that no test changes, sure enough that tokens matter."""
    model = small("classifier", pooling="mean", units=4)
    random = np.random.default_rng(5)
    model.set_weights([w if w.ndim == 0 else random.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def multi_label():
    examples = [("a b", ["x", "y"]), ("c d", "y"), ("e", "z")]
    return sm.MultiLabelClassifier.from_examples(examples, tokenizer="whitespace", units=3)


def probability(model, text, label):
    [answer] = model.predict_text([text])
    return dict(zip(answer["classes"], answer["probabilities"], strict=True))[label]


@pytest.mark.parametrize("name", ["model", "multi_label"])
@pytest.mark.parametrize("label", [None, 0])
def test_occlusion_is_what_the_probability_loses_without_a_token_known(name, label, request):
    model = request.getfixturevalue(name)
    label = None if label is None else model.preprocessor.labels.names[label]
    for text, found in zip(TEXTS, model.explain(TEXTS, label=label), strict=True):
        [answer] = model.predict_text([text])
        most = answer["classes"][int(np.argmax(answer["probabilities"]))]
        assert found.label == (label or most) and found.method == "occlusion"
        assert found.score == pytest.approx(probability(model, text, found.label), rel=1e-5)
        assert found.tokens == text.split()
        for place, contribution in enumerate(found.contributions):
            without = [*found.tokens[:place], "?", *found.tokens[place + 1 :]]
            expected = found.score - probability(model, " ".join(without), found.label)
            assert contribution == pytest.approx(expected, abs=1e-5)
    assert found.contributions[0] != 0


def test_occlusion_says_nothing_of_padding_and_of_the_end(model):
    ids = model.preprocessor.inputs(tf.constant(["a b c", "d"])).numpy()
    found = occlusion(model, ids, np.zeros(2, int))
    assert np.array_equal(found != 0, [[True, True, True, False], [True, False, False, False]])


def test_gradient_times_input_is_the_derivative_of_the_logit_along_the_embedding_of_the_token(model):
    embedding = model.network.get_layer("embedding")
    table, names, step = embedding.get_weights()[0], model.preprocessor.labels.names, 1e-2
    for text, found in zip(TEXTS, model.explain(TEXTS, "gradient_times_input", batch_size=3), strict=True):
        assert found.tokens == text.split() and found.method == "gradient_times_input"
        k = names.index(found.label)
        for token, contribution in zip(found.tokens, found.contributions, strict=True):  # each comes once
            number = int(model.preprocessor.codec.vocabulary.ids(tf.constant(token)))
            logits = []
            for sign in (1, -1):
                moved = table.copy()
                moved[number] *= 1 + sign * step
                embedding.set_weights([moved])
                logits.append(float(model.network(model.preprocessor.inputs(tf.constant([text])))[0, k]))
            embedding.set_weights([table])
            assert contribution == pytest.approx((logits[0] - logits[1]) / (2 * step), rel=2e-2, abs=2e-4)
    assert found.contributions[0] != 0


def test_explanations_do_not_depend_on_the_texts_beside_them_nor_on_what_is_trained(model):
    for method in ("occlusion", "gradient_times_input"):
        together = model.explain(TEXTS, method)
        assert isinstance(together, Explanations)
        for text, found in zip(TEXTS, together, strict=True):
            [alone] = model.explain([text], method)
            assert (alone.label, alone.tokens) == (found.label, found.tokens)
            assert alone.contributions == pytest.approx(found.contributions, abs=1e-5)
    frozen = small("classifier", pooling="mean", units=4)
    before = frozen.explain(["a b"], "gradient_times_input")[0].contributions
    frozen.network.get_layer("embedding").trainable = False
    del frozen.gradients_times_inputs
    assert frozen.explain(["a b"], "gradient_times_input")[0].contributions == pytest.approx(before, rel=1e-5)


def test_what_is_read_is_explained():
    keras.utils.set_random_seed(0)
    examples = [("A b c d", "x"), ("d", "y")]
    model = sm.SequenceClassifier.from_examples(examples, units=2, lowercase=True, max_length=3, truncate="tail")
    assert model.explain(["A B C D"])[0].tokens == ["c", "d"]


def test_a_notebook_shows_the_text_escaped_and_the_largest_contribution_in_full_colour():
    found = Explanation("<x>", 0.75, ["<b>", "é", "&"], [0.2, -0.4, 0.0], "occlusion")
    shown = found._repr_html_()
    assert re.findall(r"rgba\((\d+), (\d+), \d+, ([\d.]+)\)", shown)[:2] == [
        ("0", "130", "0.35"),
        ("200", "30", "0.70"),
    ]
    assert "<b>&lt;x&gt;</b> 0.750, occlusion" in shown and 'title="-0.4000">é<' in shown
    assert html.unescape(re.sub("<[^>]*>", "", shown)) == "<x> 0.750, occlusion: <b> é &"
    assert Explanations([found, found])._repr_html_() == shown * 2
    assert Explanation("x", 0.5, [], [], "occlusion")._repr_html_().startswith("<p>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "shap"}, "method must be one of occlusion, gradient_times_input. Received: method='shap'"),
        ({"label": "other"}, "label must be one of None, long, short. Received: label='other'"),
        ({"texts": "a"}, "texts must be a list of strings"),
        ({"batch_size": 0}, "batch_size must be a positive integer"),
    ],
)
def test_what_is_no_method_label_or_text_is_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.explain(**{"texts": ["a"], **options})


# On the command line


@pytest.fixture(scope="module")
def runs(model, tmp_path_factory):
    """Runs of a classifier and a labeler by task, and a file of texts."""
    directory = tmp_path_factory.mktemp("runs")
    options = {"tokenizer": "whitespace", "units": 3, "characters": False}
    labeler = sm.SequenceLabeler.from_examples(ENTITIES, **options)
    for each in (model, labeler):
        each.save_run(directory / each.task_name)
    (directory / "texts.txt").write_text("a b c\n\nd\n", "utf-8")
    return directory, {each.task_name: each for each in (model, labeler)}


def predict(runs, task, *flags):
    directory, _ = runs
    return cli.main(["predict", str(directory / task), "--input", str(directory / "texts.txt"), *flags])


def test_predict_explains_answers(runs, capsys):
    texts = ["a b c", "", "d"]
    expected = runs[1]["classifier"].explain(texts, "occlusion")
    assert predict(runs, "classifier", "--explain", "occlusion") == 0
    for line, each in zip(capsys.readouterr().out.splitlines(), expected, strict=True):
        label, score, tokens = line.split("\t")
        assert (label, score) == (each.label, f"{each.score:.4f}")
        pairs = zip(each.tokens, each.contributions, strict=True)
        assert tokens.split() == [f"{token}/{value:+.4f}" for token, value in pairs]
    assert predict(runs, "classifier", "--explain", "gradient_times_input", "--json") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["tokens"] for answer in answers] == [text.split() for text in texts]
    assert {answer["method"] for answer in answers} == {"gradient_times_input"}


@pytest.mark.slow
def test_predict_prints_the_n_best_ways_of_a_labeler_and_its_marginals(runs, capsys):
    texts, labeler = ["a b c", "", "d"], runs[1]["labeler"]
    assert predict(runs, "labeler", "--n-best", "2") == 0
    blocks = capsys.readouterr().out.split("\n\n")
    for block, each in zip(blocks, labeler.n_best(texts, 2), strict=False):
        rows = [line.split("\t") for line in block.splitlines()]
        ways = [" ".join(map("/".join, zip(each["tokens"], tags, strict=True))) for tags in each["tags"]]
        assert [text for _, text in rows] == ways
        assert [log_p for log_p, _ in rows] == [f"{log_p:.4f}" for log_p in each["log_probabilities"]]
    assert predict(runs, "labeler", "--marginals", "--json") == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for answer, plain in zip(answers, labeler.predict_text(texts), strict=True):
        assert answer["labels"] == labeler.preprocessor.labels.names and answer["tokens"] == plain["tokens"]
        assert np.allclose(np.sum(answer["probabilities"], axis=1) if answer["tokens"] else 1, 1, atol=1e-5)
        chosen = [p[answer["labels"].index(tag)] for p, tag in zip(answer["probabilities"], plain["tags"], strict=True)]
        assert chosen == pytest.approx(plain["scores"], abs=1e-6)
    assert predict(runs, "labeler", "--marginals") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 1 + 1 + 1 + 1  # tokens, and a line without any after each text
    token, *ranked = lines[0].split("\t")
    assert token == "a" and [float(each.split()[1]) for each in ranked] == sorted(
        np.round(answers[0]["probabilities"][0], 4), reverse=True
    )
    cut = [text.split() for text in texts if text]
    assert labeler.predict_marginals(cut) == labeler.predict_marginals([text for text in texts if text])


@pytest.mark.parametrize(
    ("task", "flags", "message"),
    [
        ("labeler", ["--explain", "occlusion"], "a classifier or of multi-label for --explain. Received: labeler"),
        ("classifier", ["--marginals"], "must be the run of a labeler for --marginals. Received: classifier"),
        ("labeler", ["--n-best", "0"], "n must be a positive integer. Received: n=0"),
        ("labeler", ["--n-best", "2", "--marginals"], "Give one of --n-best or --marginals. Received: all of them"),
    ],
)
def test_a_flag_that_a_run_has_not_or_two_of_them_are_refused(task, flags, message, runs, capsys):
    assert predict(runs, task, *flags) == 2
    assert message in capsys.readouterr().err


def test_what_is_nothing_has_no_sign():
    answer = {"label": "a", "score": 0.5, "tokens": ["b", "c"], "contributions": [-1e-9, -0.5]}
    assert Explained(None).line(None, answer) == "a\t0.5000\tb/+0.0000 c/-0.5000"
