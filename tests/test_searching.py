"""Beam search of the tasks: translations and texts, in Python, on the command line, in runs and exports."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from test_cli import refused, run
from toy import EXAMPLES, TEXTS, shared, small

import seq_models as sm
from seq_models.plots import plot_attention
from seq_models.tasks.searching import SearchOptions

SOURCES = ["a b c d", "e", "b a", "c c c"]


@pytest.fixture(autouse=True)
def eager(request):
    """To trace each way to ask takes longer than all its steps; graphs are those of test_beam.py and of exports."""
    tf.config.run_functions_eagerly(request.node.get_closest_marker("slow") is None)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def model():
    """One whose answers are of all lengths: its logits are far apart, and the end is probable."""
    found = small("encoder-decoder")
    head, random = found.network.head, np.random.default_rng(5)
    head.kernel.assign(random.normal(size=head.kernel.shape))
    head.bias.assign(tf.one_hot(3, len(found.preprocessor.target.vocabulary)))
    return found


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("runs")
    for found in (model, shared("classifier"), shared("language-model")):
        found.save_run(folder / found.task_name)
    return folder


def log_probability(model, source, translation):
    """By teacher forcing, the control tokens that are not forced left out of the softmax."""
    inputs, targets, _ = model.batch([(source, translation)])
    logits = model(inputs)[0].numpy().astype("float64")
    targets = targets[0].numpy()
    logits[:, :3] = np.where(targets[:, None] == np.arange(3), logits[:, :3], -np.inf)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_p[np.arange(len(targets)), targets].sum()


def test_the_n_best_differ_and_are_sorted_by_score_and_have_their_probability(model):
    for source, answer in zip(SOURCES, model.n_best(SOURCES, 4, max_length=9), strict=True):
        ended = [text for text, length in zip(answer["translations"], answer["lengths"], strict=True) if length < 9]
        assert len(set(answer["translations"])) == len(answer["translations"]) == 4 and ended
        assert answer["scores"] == sorted(answer["scores"], reverse=True)
        for translation, log_p, score, length in zip(*answer.values(), strict=True):
            assert score == pytest.approx(log_p / ((5 + length) / 6) ** 0.6, rel=1e-5)
            if length < 9:
                assert log_probability(model, source, translation) == pytest.approx(log_p, rel=1e-4)


def test_one_answer_is_the_first_of_many_and_a_row_alone_is_as_among_others(model):
    options = {"beam_width": 4, "max_length": 9, "coverage_penalty": 0.3, "length_penalty": "average"}
    best = model.n_best(SOURCES, 2, **options)
    answers = model.translate(SOURCES, batch_size=1, **options)
    for answer, ways in zip(answers, best, strict=True):
        assert answer["translation"] == ways["translations"][0] and answer["lengths"] == ways["lengths"][0]
        assert answer["score"] == pytest.approx(ways["log_probabilities"][0], rel=1e-5)


def test_greedy_answers_are_those_of_a_search_with_one_beam(model):
    greedy = model.translate([*SOURCES, ""], max_length=9)
    one_beam = model.translate([*SOURCES, ""], max_length=9, no_repeat_ngram=9)  # which changes nothing
    for answer, expected in zip(greedy, one_beam, strict=True):
        assert answer == {**expected, "score": pytest.approx(expected["score"], rel=1e-5)}
    ways = model.n_best(SOURCES, 1, max_length=9)
    assert [way["translations"] for way in ways] == [[answer["translation"]] for answer in greedy[:-1]]
    assert model.translate([]) == []


def test_a_prefix_begins_the_translation_as_it_is_written_unknown_words_too(model):
    prefixes = ["b  Zebra", "", "a a", "e"]
    answers = model.n_best(SOURCES, 2, prefixes=prefixes, max_length=6)
    plain = model.n_best(SOURCES, 2, max_length=6)
    for prefix, answer in zip(prefixes, answers, strict=True):
        assert all(text.startswith(prefix) for text in answer["translations"])
    assert answers[1]["translations"] == plain[1]["translations"]
    known = "b <unk>" + answers[0]["translations"][0].removeprefix(prefixes[0])
    assert log_probability(model, SOURCES[0], known) == pytest.approx(answers[0]["log_probabilities"][0], rel=1e-3)


def test_forbidden_words_are_not_written(model):
    words = {
        word for answer in model.n_best(SOURCES, 5, max_length=6) for word in " ".join(answer["translations"]).split()
    }
    forbidden = sorted(words)[:1]
    for answer in model.n_best(SOURCES, 5, max_length=6, forbidden=forbidden):
        assert not set(" ".join(answer["translations"]).split()) & set(forbidden)


def test_rules_hold_in_every_translation(model):
    for answer in model.n_best(SOURCES, 4, min_length=4, max_length=6, no_repeat_ngram=2):
        assert all(4 <= length <= 6 for length in answer["lengths"])
        for translation in answer["translations"]:
            words = translation.split()
            pairs = list(zip(words[:-1], words[1:], strict=True))
            assert len(set(pairs)) == len(pairs)


def test_the_translation_of_no_words_is_empty(model):
    for source in ("", "  \t "):
        [answer] = model.translate([source, "a"], beam_width=3)[:1]
        assert answer == {"translation": "", "score": 0.0, "lengths": 1}
    ways, _ = model.n_best(["", "a"], 3)
    assert ways["translations"] == [""]
    begun, _ = model.translate(["", "a"], prefixes=["a b", ""], max_length=6)
    assert begun["translation"].startswith("a b")
    assert model.translate([]) == [] and model.n_best([], prefixes=[]) == []


def test_unknown_words_are_replaced_by_the_source_words_with_most_attention():
    model = small("encoder-decoder")
    head, tokens = model.network.head, model.preprocessor.target.vocabulary.tokens
    head.kernel.assign(tf.zeros_like(head.kernel))
    head.bias.assign([{"<unk>": 9, "c": 6}.get(token, 0) for token in tokens])
    assert model.translate(["a new b"], max_length=3)[0]["translation"] == "c c c"
    for source in ("a new b", "new", "d Zebra c"):
        [answer] = model.translate([source], max_length=3, replace_unknown=True)
        states = model.network.start(model.preprocessor.inputs(tf.constant([source])))
        expected, token = [], 2
        for _ in range(3):
            _, states = model.network.step(tf.constant([token]), states)
            attention, token = states["attention"].numpy()[0, :-1], 1
            expected.append(source.split()[attention.argmax()])
        assert answer["translation"] == " ".join(expected)
    [answer] = model.translate(["a new b"], max_length=3, replace_unknown=True, prefixes=["d"])
    first, *rest = answer["translation"].split()
    assert first == "d" and len(rest) == 2 and set(rest) <= {"a", "new", "b"}
    assert model.translate(["", "a"], max_length=3, replace_unknown=True)[0]["translation"] == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "beam_width must be a positive integer. Received: beam_width=0"),
        ({"beam_width": 10}, "beam_width must be at most 9, the tokens of the target. Received: beam_width=10"),
        (
            {"min_length": 6, "max_length": 5},
            "min_length must be at most max_length. Received: min_length=6, max_length=5",
        ),
        ({"max_length": 0}, "max_length must be a positive integer. Received: max_length=0"),
        ({"length_penalty": "wu"}, "length_penalty must be one of gnmt, average. Received: length_penalty='wu'"),
        ({"length_alpha": -1.0}, "length_alpha must be a number at least 0. Received: length_alpha=-1.0"),
        ({"forbidden": ["a b"]}, "words that are one token of the target's vocabulary. Received: 'a b'"),
        ({"forbidden": ["zebra"]}, "words that are one token of the target's vocabulary. Received: 'zebra'"),
        ({"forbidden": "ab"}, "forbidden must be a list of strings. Received: forbidden='ab'"),
        ({"prefixes": ["a"]}, "prefixes must be as many as texts, 2. Received: 1"),
        ({"prefixes": ["a", "a b"], "max_length": 2}, "fewer tokens than max_length, 2. Received: 2 in 'a b'"),
        ({"batch_size": 0}, "batch_size must be a positive integer. Received: batch_size=0"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(model, options, message):
    for ask in (model.translate, model.n_best):
        with pytest.raises(ValueError, match=message.replace("(", "\\(")):
            ask(["a", "b"], **options)


def test_more_translations_than_beams_are_refused(model):
    with pytest.raises(ValueError, match="n must be at most beam_width. Received: n=3, beam_width=2"):
        model.n_best(["a"], 3, beam_width=2)
    with pytest.raises(TypeError, match="beam_size"):
        model.translate(["a"], beam_size=3)


def test_a_run_keeps_how_its_model_searches(tmp_path):
    found = small("encoder-decoder", beam_width=3, length_penalty="average")
    assert found.search == SearchOptions(beam_width=3, length_penalty="average")
    found.save_run(tmp_path / "run")
    again = sm.load_run(tmp_path / "run")
    assert again.search == found.search
    assert again.predict_text(SOURCES) == found.translate(SOURCES)
    assert again.predict_text(SOURCES) == again.translate(SOURCES, **dataclasses.asdict(found.search))
    with pytest.raises(ValueError, match="beam_width must be at most 9"):
        small("encoder-decoder", beam_width=10)


def test_samples_of_a_training_are_greedy():
    model = small("encoder-decoder", beam_width=4, min_length=12)
    expected = small("encoder-decoder").translate(TEXTS)
    shown = model.samples(EXAMPLES["encoder-decoder"])
    assert [each["predicted"] for each in shown] == [each["translation"] for each in expected]


@pytest.mark.parametrize("option", [{"length_penalty": "average"}, {"length_alpha": 1}, {"coverage_penalty": 0.5}])
def test_what_ranks_whole_texts_is_refused_where_one_beam_is_followed(option):
    with pytest.raises(ValueError, match="needs beam_width above 1. Received: "):
        SearchOptions(**option)
    assert SearchOptions(beam_width=2, **option)


def test_a_model_without_attention_translates_and_refuses_what_attention_is_needed_for():
    model = small("encoder-decoder", context="none")
    assert "attention" not in model.signatures() and len(model.n_best(SOURCES, 2)) == len(SOURCES)
    for option in ({"replace_unknown": True}, {"beam_width": 2, "coverage_penalty": 0.1}):
        with pytest.raises(ValueError, match="needs a model with context='attention'"):
            model.translate(SOURCES, **option)
    with pytest.raises(ValueError, match="context='attention'. Received: context='none'"):
        model.attention(EXAMPLES["encoder-decoder"])


def test_an_export_has_sixteen_beams_at_most():
    model = small("encoder-decoder")
    model.search = SearchOptions(beam_width=17)
    with pytest.raises(sm.InputError, match="beam_width must be at most 16 in an export. Received: beam_width=17"):
        model.signatures()


FED = {"readout": "luong", "input_feeding": True}
COVERED = {"coverage": True, "layer_norm": True, "attention": "scaled_dot"}


@pytest.mark.parametrize("options", [{"readout": "maxout"}, FED, COVERED], ids=str)
def test_beams_carry_what_a_step_hands_on(options):
    model = small("encoder-decoder", cell="gru", bidirectional=False, **options)
    model.network.set_weights([w + np.random.normal(size=w.shape) for w in model.network.get_weights()])
    [answer] = model.n_best(SOURCES[:1], 3, max_length=5)
    for translation, log_p, length in zip(
        *(answer[n] for n in ("translations", "log_probabilities", "lengths")), strict=True
    ):
        if length < 5:  # it has its end
            assert log_p == pytest.approx(log_probability(model, SOURCES[0], translation), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("network", [FED, {**COVERED, "joint_vocabulary": True, "share_embeddings": True}], ids=str)
def test_an_export_with_a_beam_passes_the_gate_and_answers_as_the_model_does(network, tmp_path):
    options = {"beam_width": 3, "coverage_penalty": 0.2, "replace_unknown": True}
    model = small("encoder-decoder", **network, **options)
    model.sample_texts = TEXTS[:2]
    served = tf.saved_model.load(str(sm.export(model, tmp_path / "name"))).signatures
    answers = [text.decode() for text in served["serving_default"](tf.constant(SOURCES))["translation"].numpy()]
    assert answers == [answer["translation"] for answer in model.translate(SOURCES)]
    ways = served["n_best"](tf.constant(SOURCES))
    for row, answer in zip(ways["translations"].numpy(), model.n_best(SOURCES, 5), strict=True):
        assert [text.decode() for text in row] == answer["translations"]


# The command line


def test_predict_prints_translations_and_the_best_of_each(run_directory, tmp_path, capsys, model):
    (tmp_path / "texts.txt").write_text("a b\nc\n", "utf-8")
    ask = ["predict", run_directory / "encoder-decoder", "--input", tmp_path / "texts.txt"]
    assert run(*ask, "--beam-width", 3, "--length-penalty", "average", "--length-alpha", 1) == 0
    answers = model.translate(["a b", "c"], beam_width=3, length_penalty="average", length_alpha=1.0)
    assert capsys.readouterr().out.splitlines() == [answer["translation"] for answer in answers]
    best = model.n_best(["a b", "c"], 2)
    assert run(*ask, "--n-best", 2) == 0
    lines = capsys.readouterr().out.split("\n")
    expected = [
        [f"{score:.4f}\t{text}" for score, text in zip(ways["scores"], ways["translations"], strict=True)]
        for ways in best
    ]
    assert lines == [*expected[0], "", *expected[1], "", ""]
    assert run(*ask, "--n-best", 2, "--json") == 0
    assert [json.loads(line)["translations"] for line in capsys.readouterr().out.splitlines()] == [
        ways["translations"] for ways in best
    ]


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        ("encoder-decoder", ["--beam-width", "0"], "beam_width must be a positive integer. Received: beam_width=0"),
        ("encoder-decoder", ["--beam-width", "10"], "beam_width must be at most 9"),
        ("encoder-decoder", ["--min-length", "99"], "min_length must be at most max_length"),
        ("encoder-decoder", ["--n-best", "3", "--beam-width", "2"], "n must be at most beam_width"),
        ("encoder-decoder", ["--n-best", "0"], "n must be a positive integer. Received: n=0"),
        ("classifier", ["--beam-width", "2"], "run of an encoder-decoder for --beam-width. Received: classifier"),
        ("classifier", ["--n-best", "2"], "run of an encoder-decoder or a labeler for --n-best. Received: classifier"),
    ],
)
def test_a_mistake_is_one_sentence(run_directory, tmp_path, capsys, task, arguments, message):
    (tmp_path / "texts.txt").write_text("a b\n", "utf-8")
    assert message in refused(capsys, "predict", run_directory / task, "--input", tmp_path / "texts.txt", *arguments)


def test_an_export_with_too_wide_a_beam_is_refused_before_anything_is_written(run_directory, tmp_path, capsys):
    ask = ["export", run_directory / "encoder-decoder", "--to", tmp_path / "out", "--name", "pairs"]
    assert "at most 9" in refused(capsys, *ask, "--beam-width", 12)
    assert not (tmp_path / "out").exists()


def test_evaluate_scores_the_answers_of_the_search_that_is_asked_for(run_directory, tmp_path, capsys, model):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("source\ttarget\n" + "".join(f"{s}\t{t}\n" for s, t in EXAMPLES["encoder-decoder"]), "utf-8")
    assert run("evaluate", run_directory / "encoder-decoder", "--data", pairs, "--json", "--min-length", 5) == 0
    found = json.loads(capsys.readouterr().out)
    longer = sm.load_run(run_directory / "encoder-decoder")
    longer.search = SearchOptions(min_length=5)
    assert found == longer.score(EXAMPLES["encoder-decoder"]) != model.score(EXAMPLES["encoder-decoder"])


def test_attention_draws_where_a_run_looks(run_directory, tmp_path, capsys, model, monkeypatch):
    drawn = []
    monkeypatch.setattr("seq_models.plots.plot_attention", lambda *given: drawn.append(given) or plot_attention(*given))
    (tmp_path / "pairs.tsv").write_text("a b\tb a\nc\tc\n", "utf-8")
    ask = ["attention", run_directory / "encoder-decoder", "--data", tmp_path / "pairs.tsv"]
    assert run(*ask, "--out", tmp_path / "one.png", "--example", 2) == 0
    assert run(*ask, "--out", tmp_path / "answer.svg", "--answer", "--min-length", 4) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "one.png"), str(tmp_path / "answer.svg")]
    assert (tmp_path / "one.png").read_bytes()[1:4] == b"PNG" and b"<svg" in (tmp_path / "answer.svg").read_bytes()
    [answer] = model.translate(["a b"], min_length=4)
    for given, pair in zip(drawn, [("c", "c"), ("a b", answer["translation"])], strict=True):
        [(weights, source, target)] = model.attention([pair])
        np.testing.assert_allclose(given[0], weights, atol=1e-6)
        assert given[1:3] == (source, target) and target[-1] == "</s>"


def test_mistakes_of_attention_are_one_sentence_and_nothing_is_overwritten(run_directory, tmp_path, capsys):
    (tmp_path / "pairs.tsv").write_text("a b\tb a\nc\tc\n", "utf-8")
    small("encoder-decoder", context="none").save_run(tmp_path / "none")
    there = tmp_path / "there.png"
    there.write_text("kept")
    for directory, out, arguments, message in [
        (
            "encoder-decoder",
            "new.png",
            ["--example", "3"],
            "example must be at most 2, as many as there are. Received: 3",
        ),
        ("encoder-decoder", "new.png", ["--example", "0"], "example must be a positive integer. Received: example=0"),
        ("encoder-decoder", "new.txt", [], "must go to a new file, .png or .svg or .pdf. Received: "),
        ("encoder-decoder", "there.png", [], "there.png, which is there"),
        ("classifier", "new.png", [], "must be the run of an encoder-decoder. Received: classifier"),
        (tmp_path / "none", "new.png", [], "attention needs a model with context='attention'"),
    ]:
        ask = ["attention", run_directory / directory, "--data", tmp_path / "pairs.tsv", "--out", tmp_path / out]
        assert message in refused(capsys, *ask, *arguments)
    assert there.read_text() == "kept" and not (tmp_path / "new.png").exists()


# Language models


def test_a_language_model_searches_for_the_most_probable_text():
    model = shared("language-model")
    prompts = ["a b", "", "new  c"]
    greedy = model.generate(prompts, max_length=6, temperature=0)
    one = model.generate(prompts, max_length=6, beam_width=1)
    wide = model.generate(prompts, max_length=6, beam_width=6, min_length=3)
    for prompt, few, same, best in zip(prompts, greedy, one, wide, strict=True):
        assert same["text"] == few["text"] and same["score"] == pytest.approx(few["score"], rel=1e-5)
        assert best["text"].startswith(prompt)
    assert sum(map(len, (each["text"] for each in wide))) > 0
    best = model.generate(prompts, max_length=6, beam_width=9)
    assert all(a["score"] >= b["score"] - 1e-5 for a, b in zip(best, greedy, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"temperature": 0.5},
            "temperature must be left out with beam_width, .* Received: temperature=0.5, beam_width=2",
        ),
        ({"top_k": 3}, "top_k must be left out with beam_width"),
        ({"repetition_penalty": 1.5}, "repetition_penalty must be left out with beam_width"),
        ({"beam_width": 0}, "beam_width must be 1 to 9, all tokens. Received: beam_width=0"),
        ({"beam_width": 10}, "beam_width must be 1 to 9, all tokens. Received: beam_width=10"),
        ({"min_length": 9, "max_length": 3}, "min_length must be at most max_length"),
    ],
)
def test_a_beam_draws_nothing(options, message):
    with pytest.raises(ValueError, match=message):
        shared("language-model").generate(["a"], **{"beam_width": 2, **options})


def test_generate_takes_a_beam_on_the_command_line(run_directory, capsys):
    ask = ["generate", run_directory / "language-model", "--prompt", "a", "--max-length", 5, "--beam-width", 3]
    assert run(*ask) == 0
    [answer] = shared("language-model").generate(["a"], max_length=5, beam_width=3)
    assert capsys.readouterr().out == answer["text"] + "\n"
    assert "count must be 1 with beam_width. Received: count=2" in refused(capsys, *ask, "--count", 2)
