"""The verbs of the four tasks."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import EXAMPLES, TEXTS, small

import seq_models as sm
from seq_models.errors import InputError
from seq_models.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_a_saved_model_answers_as_before_from_one_file(task, tmp_path):
    model = small(task)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.predict_text(TEXTS) == model.predict_text(TEXTS)
    assert again.vocabularies() == model.vocabularies()


@pytest.mark.parametrize("task", TASKS)
def test_answers_do_not_depend_on_the_batch(task):
    model = small(task)
    together, alone = model.predict_text(TEXTS, batch_size=8), model.predict_text(TEXTS, batch_size=1)
    for one, other in zip(together, alone, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == pytest.approx(other[name], abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_no_text_gets_no_answer_and_an_empty_text_gets_one(task):
    model = small(task)
    assert model.predict_text([]) == []
    assert len(model.predict_text([""])) == 1


@pytest.mark.parametrize("task", TASKS)
def test_an_unknown_option_is_refused_with_the_known_ones(task):
    with pytest.raises(ValueError, match="units.*Received: unit$"):
        TASKS[task].from_examples(EXAMPLES[task], unit=3)


@pytest.mark.parametrize("wrong", [{"cell": "lstn"}, {"units": 0}, {"tokenizer": "word"}, {"dropout": 2.0}])
def test_a_wrong_value_is_refused(wrong):
    with pytest.raises(ValueError):
        small("classifier", **wrong)


def test_a_single_string_is_refused_where_a_list_is_meant():
    with pytest.raises(ValueError, match="list of strings"):
        small("classifier").predict_text("a b")


def test_the_classifiers_probabilities_sum_to_one_and_its_label_is_the_most_probable():
    model = small("classifier")
    for answer in model.predict_text(TEXTS):
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-6)
        assert answer["score"] == pytest.approx(max(answer["probabilities"]))
        names = model.preprocessor.labels.names
        assert answer["label"] == names[int(np.argmax(answer["probabilities"]))]


def test_the_labeler_answers_with_a_tag_for_each_token():
    answers = small("labeler").predict_text(TEXTS)
    assert [answer["tokens"] for answer in answers] == [text.split() for text in TEXTS]
    for answer in answers:
        assert len(answer["tags"]) == len(answer["scores"]) == answer["lengths"]
        assert set(answer["tags"]) <= {"A", "B", "C", "D", "E"}


def test_the_labelers_accuracy_is_the_share_of_right_tags():
    model = small("labeler")
    right = [
        guess == gold
        for answer, (_, tags) in zip(model.predict_text(TEXTS), EXAMPLES["labeler"], strict=True)
        for guess, gold in zip(answer["tags"], tags, strict=True)
    ]
    assert model.score(EXAMPLES["labeler"])["accuracy"] == pytest.approx(np.mean(right))


def test_entity_f1_is_given_for_bio_tags_only_and_counts_whole_entities():
    examples = [(["Apple", "Inc", "is", "great"], ["B-ORG", "I-ORG", "O", "O"]), (["I", "eat"], ["O", "O"])] * 8
    model = sm.SequenceLabeler.from_examples(examples, units=16)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(model.dataset(examples, shuffle=True), epochs=25, verbose=0)
    assert model.score(examples) == {"accuracy": 1.0, "entity_f1": 1.0}
    half = [(["Apple", "Inc"], ["B-ORG", "O"]), (["I", "eat"], ["O", "O"])]
    assert model.score(half)["entity_f1"] == 0.0
    assert "entity_f1" not in small("labeler").score(EXAMPLES["labeler"])


def test_a_language_models_log_probability_is_the_sum_over_its_tokens():
    model = small("language-model")
    [answer] = model.predict_text(["a b"])
    log_p = tf.nn.log_softmax(model(model.preprocessor.inputs(tf.constant(["a b"]))))[0].numpy()
    [[a, b, end]] = model.preprocessor.codec.encode(tf.constant(["a b"])).to_list()
    assert answer["log_probability"] == pytest.approx(log_p[0, a] + log_p[1, b] + log_p[2, end], abs=1e-5)
    assert answer["lengths"] == 3
    assert answer["perplexity"] == pytest.approx(np.exp(-answer["log_probability"] / 3), rel=1e-5)


def test_a_uniform_language_model_has_the_perplexity_of_its_vocabulary():
    model = small("language-model")
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    assert model.score(TEXTS)["perplexity"] == pytest.approx(len(model.preprocessor.codec.vocabulary), rel=1e-5)


def test_generation_repeats_with_its_seed_keeps_its_prompt_and_its_limit():
    model = small("language-model")
    texts = [answer["text"] for answer in model.generate(["a b", ""], max_length=6, seed=1)]
    assert texts == [answer["text"] for answer in model.generate(["a b", ""], max_length=6, seed=1)]
    assert texts != [answer["text"] for answer in model.generate(["a b", ""], max_length=6, seed=2)]
    assert texts[0].startswith("a b")
    assert len(texts[0].split()) <= 2 + 6
    assert not set("<>") & set("".join(texts)), "no control token is written"


def test_generation_without_temperature_is_greedy():
    model = small("language-model")
    texts = [model.generate(["a"], max_length=5, temperature=0, seed=seed)[0]["text"] for seed in (1, 2)]
    assert texts[0] == texts[1]
    with pytest.raises(ValueError, match="Received: temperature=-1"):
        model.generate(["a"], temperature=-1)


def test_the_scores_of_a_perfect_translator_are_perfect(monkeypatch):
    model = small("encoder-decoder")
    answers = [{"translation": target} for _, target in EXAMPLES["encoder-decoder"]]
    monkeypatch.setattr(model, "predict_text", lambda texts: answers[: len(texts)])
    scores = model.score(EXAMPLES["encoder-decoder"])
    assert scores["exact_match"] == 1
    assert scores["bleu"] == pytest.approx(100)
    assert scores["chrf"] == pytest.approx(100)


def test_an_answer_is_one_line():
    for task in TASKS:
        model = small(task)
        for answer in model.predict_text(TEXTS):
            assert "\n" not in model.line(answer)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_each_task_learns_its_toy(task):
    model = small(task, units=24, embedding_units=16)
    model.compile(keras.optimizers.Adam(0.01), clip_norm=5.0)
    model.fit(model.dataset(EXAMPLES[task], batch_size=4, shuffle=True), epochs=80, verbose=0)
    scores = model.score(EXAMPLES[task])
    if task == "language-model":
        assert scores["perplexity"] < 2
    else:
        assert scores["exact_match" if task == "encoder-decoder" else "accuracy"] == 1


def test_a_model_that_is_asked_again_is_not_traced_again():
    model = small("classifier")
    first = model.predict_text(["a b", "c"])
    assert model.predict_text(["a b", "c"]) == first
    assert model._answer.experimental_get_tracing_count() == 1
    model.set_weights([2 * weight for weight in model.get_weights()])
    assert model.predict_text(["a b", "c"]) != first


@pytest.mark.parametrize("task", TASKS)
def test_a_model_saved_by_an_earlier_version_is_refused_in_one_sentence(task, tmp_path):
    model = small(task)
    model.save(tmp_path / "model.keras")
    earlier = {"name": "model", "preprocessor": model.preprocessor.get_config(), "units": 5}
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    members["config.json"] = json.dumps({**config, "config": earlier}).encode()
    run = tmp_path / "run"
    run.mkdir()
    with zipfile.ZipFile(run / "model.keras", "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    with pytest.raises(
        InputError, match="must be of seq_models 0.2 or later; train it anew.*Received: a model of 0.1$"
    ):
        sm.load_run(run)


@pytest.mark.parametrize("task", TASKS)
def test_a_run_directory_holds_a_model_whose_options_were_left_out(task, tmp_path):
    model = small(task, embedding_units=None)
    model.sample_texts = TEXTS[:2]
    model.save_run(tmp_path / "run")
    loaded = sm.load_run(tmp_path / "run")
    assert loaded.get_config() == model.get_config() and loaded.sample_texts == TEXTS[:2]
    assert loaded.predict_text(TEXTS) == model.predict_text(TEXTS)
