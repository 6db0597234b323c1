"""The verbs of the four tasks."""

import itertools
import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import EXAMPLES, TEXTS, shared, small

import seq_models as sm
from seq_models.errors import InputError
from seq_models.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_a_saved_model_answers_as_before_from_one_file(task, tmp_path):
    model = shared(task)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.predict_text(TEXTS) == model.predict_text(TEXTS)
    assert again.vocabularies() == model.vocabularies()


@pytest.mark.parametrize("task", TASKS)
def test_answers_do_not_depend_on_the_batch(task):
    model = shared(task)
    together, alone = model.predict_text(TEXTS, batch_size=8), model.predict_text(TEXTS, batch_size=1)
    for one, other in zip(together, alone, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name] == pytest.approx(other[name], abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_no_text_gets_no_answer_and_an_empty_text_gets_one(task):
    model = shared(task)
    assert model.predict_text([]) == []
    assert len(model.predict_text([""])) == 1


@pytest.mark.parametrize("task", TASKS)
def test_answers_are_without_dropout(task):
    dropping, plain = small(task, dropout=0.5), small(task)
    plain.set_weights(dropping.get_weights())
    assert dropping.predict_text(TEXTS) == plain.predict_text(TEXTS)


@pytest.mark.parametrize("task", TASKS)
def test_an_unknown_option_is_refused_with_the_known_ones(task):
    with pytest.raises(ValueError, match="units.*Received: unit=3$"):
        TASKS[task].from_examples(EXAMPLES[task], unit=3)


@pytest.mark.parametrize("wrong", [{"cell": "lstn"}, {"units": 0}, {"tokenizer": "word"}, {"dropout": 2.0}])
def test_a_wrong_value_is_refused(wrong):
    [(name, value)] = wrong.items()
    with pytest.raises(ValueError, match=f"^{name} must be .* Received: {name}={value!r}$"):
        small("classifier", **wrong)


def test_a_single_string_is_refused_where_a_list_is_meant():
    with pytest.raises(ValueError, match="list of strings"):
        shared("classifier").predict_text("a b")


def test_the_classifiers_probabilities_sum_to_one_and_its_label_is_the_most_probable():
    model = shared("classifier")
    for answer in model.predict_text(TEXTS):
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-6)
        assert answer["score"] == pytest.approx(max(answer["probabilities"]))
        names = model.preprocessor.labels.names
        assert answer["classes"] == names
        assert answer["label"] == names[int(np.argmax(answer["probabilities"]))]


def test_answers_of_classifier_and_labeler_are_those_of_the_logits():
    for task in ("classifier", "labeler"):
        model = shared(task)
        names = model.preprocessor.labels.names
        for answer, example in zip(model.predict_text(TEXTS[:3]), EXAMPLES[task][:3], strict=True):
            p = tf.nn.softmax(model(model.batch([example])[0]))[0].numpy()
            if task == "classifier":
                np.testing.assert_allclose(answer["probabilities"], p, atol=1e-6)
            else:
                p = p[:-1]  # the end of the text has no label
                assert answer["tags"] == [names[k] for k in p.argmax(axis=-1)]
                np.testing.assert_allclose(answer["scores"], p.max(axis=-1), atol=1e-6)


def test_the_f1_of_a_classifier_is_the_mean_over_its_classes():
    model = small("classifier")
    head = model.network.head
    head.kernel.assign(tf.zeros_like(head.kernel))
    head.bias.assign([0, 1])  # "short" for every text: 5 of 8 are
    scores = model.score(EXAMPLES["classifier"])
    assert scores["accuracy"] == 5 / 8
    assert scores["f1"] == pytest.approx((0 + 2 * 5 / (5 + 8)) / 2)


def test_the_labeler_answers_with_a_tag_for_each_token():
    answers = shared("labeler").predict_text(TEXTS)
    assert [answer["tokens"] for answer in answers] == [text.split() for text in TEXTS]
    for answer in answers:
        assert len(answer["tags"]) == len(answer["scores"]) == answer["lengths"]
        assert set(answer["tags"]) <= {"A", "B", "C", "D", "E"}


def test_beyond_a_row_the_labeler_answers_nothing():
    answer = {name: tensor.numpy() for name, tensor in shared("labeler").respond(tf.constant(["a", "a b c"])).items()}
    assert answer["lengths"].tolist() == [1, 3]
    assert answer["tokens"][0].tolist()[1:] == answer["tags"][0].tolist()[1:] == [b"", b""]
    assert (answer["scores"] > 0).tolist() == [[True, False, False], [True] * 3]


def test_tokens_that_are_cut_already_are_labeled_as_their_text_however_long():
    model = small("labeler", max_length=5)
    texts = ["a b c d e a b", "b"]
    tokens = [text.split() for text in texts]
    by_tokens = model.respond_to_tokens(tf.constant([tokens[0], tokens[1] + [""] * 6]))
    for name, tensor in model.respond(tf.constant(texts)).items():
        np.testing.assert_array_equal(by_tokens[name], tensor)
    assert by_tokens["lengths"].numpy().tolist() == [7, 1]
    assert [tag != b"" for tag in by_tokens["tags"].numpy()[0]] == [True] * 4 + [False] * 3  # read, and cut off


def test_the_labelers_accuracy_is_the_share_of_right_tags():
    model = shared("labeler")
    right = [
        guess == gold
        for answer, (_, tags) in zip(model.predict_text(TEXTS), EXAMPLES["labeler"], strict=True)
        for guess, gold in zip(answer["tags"], tags, strict=True)
    ]
    assert model.score(EXAMPLES["labeler"])["accuracy"] == pytest.approx(np.mean(right))


@pytest.mark.slow
def test_entity_f1_is_given_for_bio_tags_only_and_counts_whole_entities():
    examples = [(["Apple", "Inc", "is", "great"], ["B-ORG", "I-ORG", "O", "O"]), (["I", "eat"], ["O", "O"])] * 8
    options = {"characters": False}
    model = sm.SequenceLabeler.from_examples(examples, units=16, **options)
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(model.dataset(examples, shuffle=True), epochs=25, verbose=0)
    assert {score for name, score in model.score(examples).items() if name != "ece"} == {1.0}
    half = [(["Apple", "Inc"], ["B-ORG", "O"]), (["I", "eat"], ["O", "O"])]
    assert model.score(half)["entity_f1"] == 0.0
    for others in (EXAMPLES["labeler"], [(["Apple", "is"], ["B-ORG", "O"]), (["I", "eat"], ["O", "VERB"])]):
        assert "entity_f1" not in sm.SequenceLabeler.from_examples(others, units=5, **options).score(others)


def test_a_language_models_log_probability_is_the_sum_over_its_tokens():
    model = shared("language-model")
    [answer] = model.predict_text(["a b"])
    log_p = tf.nn.log_softmax(model(model.preprocessor.inputs(tf.constant(["a b"]))))[0].numpy()
    [[a, b, end]] = model.preprocessor.codec.encode(tf.constant(["a b"])).to_list()
    assert answer["log_probability"] == pytest.approx(log_p[0, a] + log_p[1, b] + log_p[2, end], abs=1e-5)
    assert answer["lengths"] == 3
    assert answer["perplexity"] == pytest.approx(np.exp(-answer["log_probability"] / 3), rel=1e-5)


def test_a_uniform_language_model_has_the_perplexity_of_its_vocabulary():
    model = small("language-model")
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    size = len(model.preprocessor.codec.vocabulary)
    assert model.score(TEXTS) == pytest.approx({"perplexity": size, "cross_entropy": np.log(size)}, rel=1e-5)


def test_a_language_model_is_scored_without_dropout():
    dropping, plain = small("language-model", dropout=0.5), small("language-model")
    plain.set_weights(dropping.get_weights())
    assert dropping.score(TEXTS) == plain.score(TEXTS)


def test_samples_of_a_language_model_go_on_with_the_most_probable_token_each_time():
    model = shared("language-model")
    for text, sample in zip(TEXTS[:4], model.samples(TEXTS[:4]), strict=True):
        assert (sample["text"], sample["prompt"]) == (text, " ".join(text.split()[:3]))
        [greedy] = model.generate([sample["prompt"]], max_length=30, temperature=0)
        assert sample["generated"] == greedy["text"]


def test_generation_repeats_with_its_seed_keeps_its_prompt_and_its_limit():
    model = shared("language-model")
    texts = [answer["text"] for answer in model.generate(["a b", ""], max_length=6, seed=1)]
    assert texts == [answer["text"] for answer in model.generate(["a b", ""], max_length=6, seed=1)]
    assert texts != [answer["text"] for answer in model.generate(["a b", ""], max_length=6, seed=2)]
    assert texts[0].startswith("a b")
    assert len(texts[0].split()) <= 2 + 6
    assert not set("<>") & set("".join(texts)), "no control token is written"


def test_each_prompt_of_a_call_draws_numbers_of_its_own():
    model = shared("language-model")
    together = model.generate(["a"] * 4, max_length=6, seed=5)
    assert len({answer["text"] for answer in together}) > 1
    for row, answer in enumerate(together):
        [alone] = model.generate(["a"], max_length=6, seed=5 + row)
        assert answer["text"] == alone["text"]


@pytest.mark.slow
def test_what_is_written_holds_no_control_token_however_probable_it_is():
    for task in ("language-model", "encoder-decoder"):
        model = small(task)
        head, codec = model.network.head, getattr(model.preprocessor, "target", None) or model.preprocessor.codec
        tokens = codec.vocabulary.tokens
        head.kernel.assign(tf.zeros_like(head.kernel))
        head.bias.assign([{"<pad>": 9, "<unk>": 8, "<s>": 7, "c": 6}.get(token, 0) for token in tokens])
        if task == "language-model":
            assert model.generate(["a"], max_length=3, temperature=0)[0]["text"] == "a c c c"
        else:
            assert model.translate(["a"], max_length=3)[0]["translation"] == "c c c"


def test_generation_without_temperature_is_greedy():
    model = shared("language-model")
    texts = [model.generate(["a"], max_length=5, temperature=0, seed=seed)[0]["text"] for seed in (1, 2)]
    assert texts[0] == texts[1]
    with pytest.raises(ValueError, match="Received: temperature=-1"):
        model.generate(["a"], temperature=-1)


def test_a_translation_is_the_most_probable_token_each_time_but_for_control_tokens():
    model = shared("encoder-decoder")
    for source in TEXTS[:3]:
        [answer] = model.translate([source], max_length=5)
        inputs, targets, _ = model.batch([(source, answer["translation"])])
        logits = model(inputs)[0].numpy()
        logits[:, :3] = -np.inf  # <pad>, <unk>, <s>
        count = answer["lengths"]
        assert logits.argmax(axis=-1)[:count].tolist() == targets[0].numpy()[:count].tolist()


def test_the_scores_of_a_perfect_translator_are_perfect(monkeypatch):
    model = small("encoder-decoder")
    answers = [{"translation": target} for _, target in EXAMPLES["encoder-decoder"]]
    monkeypatch.setattr(model, "predict_text", lambda texts: answers[: len(texts)])
    scores = model.score(EXAMPLES["encoder-decoder"])
    assert scores["exact_match"] == 1
    assert scores["bleu"] == pytest.approx(100)
    assert scores["chrf"] == pytest.approx(100)
    assert scores["ter"] == 0


@pytest.mark.parametrize(
    ("answer", "target", "name", "score"),
    [
        # Characters abc and acb: of one, two and three in a row there are 3 of 3, 0 of 2 and 0 of 1.
        ("a b c", "a c b", "chrf", 100 / 3),
        ("A B C D E", "a b c d e", "bleu", 0),  # cased
        ("A B C D E", "a b c d e", "bleu_lowercased", 100),
        ("a B", "A b", "ter", 0),  # not cased
        ("c d e f a b", "a b c d e f", "ter", 100 / 6),  # one shift of a b
        ("a b", "a b c d", "ter", 50),
        ("a b x y z", "a", "ter", 400),
        ("A b", "a b", "exact_match", 0),
    ],
)
def test_a_translation_that_is_not_right_has_the_score_of_its_definition(monkeypatch, answer, target, name, score):
    model = small("encoder-decoder")
    monkeypatch.setattr(model, "predict_text", lambda texts: [{"translation": answer} for _ in texts])
    assert model.score([("a", target)])[name] == pytest.approx(score)


SOURCES, TARGETS = ["a b c d", "e", "b a"], ["c", "a b c d", "a e"]


def test_the_log_probability_of_a_pair_is_the_sum_over_the_tokens_of_its_target():
    model = shared("encoder-decoder")
    found = {name: tensor.numpy() for name, tensor in model.score_pairs(SOURCES, TARGETS).items()}
    assert found["lengths"].tolist() == [2, 5, 3]
    for row, pair in enumerate(zip(SOURCES, TARGETS, strict=True)):
        inputs, targets, _ = model.batch([pair])
        log_p = tf.nn.log_softmax(model(inputs))[0].numpy()
        expected = sum(log_p[t, token] for t, token in enumerate(targets[0].numpy()))
        assert found["log_probability"][row] == pytest.approx(expected, abs=1e-5)


def test_the_attention_of_a_pair_is_zero_beyond_its_tokens():
    found = {k: v.numpy() for k, v in shared("encoder-decoder").attention_of_pairs(SOURCES, TARGETS).items()}
    assert found["target_lengths"].tolist() == [2, 5, 3]
    assert found["source_lengths"].tolist() == [5, 2, 3]
    for attention, S, T in zip(found["attention"], found["source_lengths"], found["target_lengths"], strict=True):
        np.testing.assert_allclose(attention[:T, :S].sum(axis=1), 1, atol=1e-6)
        assert not attention[T:].any() and not attention[:, S:].any()


def test_an_answer_is_one_line():
    for task in TASKS:
        model = shared(task)
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


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_run_directory_holds_a_model_whose_options_were_left_out(task, tmp_path):
    model = small(task, embedding_units=None)
    model.sample_texts = TEXTS[:2]
    model.save_run(tmp_path / "run")
    loaded = sm.load_run(tmp_path / "run")
    assert loaded.get_config() == model.get_config() and loaded.sample_texts == TEXTS[:2]
    assert loaded.predict_text(TEXTS) == model.predict_text(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_task_shows_keras_users_the_layers_inputs_and_outputs_of_its_network(task, tmp_path):
    model = small(task)
    assert model.layers == model.network.layers and model.get_layer("logits") is model.network.head
    assert [tensor.name for tensor in model.inputs] == [tensor.name for tensor in model.network.inputs]
    assert (model.input_shape, model.output_shape) == (model.network.input_shape, model.network.output_shape)
    assert model.outputs[0] is model.output is model.network.output
    lines = []
    model.summary(print_fn=lines.append)
    assert all(layer.name[:10] in "".join(lines) for layer in model.layers)
    model.export(tmp_path / "ids", verbose=False)
    inputs, *_ = model.batch(EXAMPLES[task])
    loaded = tf.saved_model.load(str(tmp_path / "ids"))  # kept, for its function holds no variable
    np.testing.assert_allclose(loaded.serve(inputs), model(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "tied"), [("simple_rnn", True), ("lstm", False), ("gru", True)])
def test_texts_are_generated_in_mixed_precision_too(cell, tied):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = sm.LanguageModel.from_examples(TEXTS, tokenizer="whitespace", units=8, cell=cell, tie_weights=tied)
    together = [answer["text"] for answer in model.generate(["a", "a b c", ""], max_length=4, temperature=0)]
    assert together == [model.generate([p], max_length=4, temperature=0)[0]["text"] for p in ("a", "a b c", "")]


def test_texts_that_are_no_list_of_strings_are_refused_and_the_next_ones_answered():
    model = shared("language-model")
    for ask, wrong in itertools.product((model.generate, model.predict_text), ("a b", [None], [b"a"], ["a", 3])):
        with pytest.raises(ValueError, match="must be a list of strings. Received: "):
            ask(wrong)
        assert len(ask(["a"])) == 1


@pytest.mark.parametrize("temperature", [-1, float("nan"), float("inf")])
def test_a_temperature_that_is_no_number_from_0_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature must be 0 or more. Received: temperature={temperature}"):
        shared("language-model").generate(["a"], temperature=temperature)


def test_a_batch_of_no_example_is_refused():
    with pytest.raises(ValueError, match="examples must hold at least one. Received: none"):
        shared("classifier").batch([])


@pytest.mark.slow
@pytest.mark.parametrize("as_given", [list, tuple, lambda row: np.array(row, object)], ids=["list", "tuple", "array"])
def test_a_labeler_answers_to_lists_of_tokens_which_stay_whole(as_given):
    model = small("labeler", tokenizer="words")
    rows = [["a", "b-c", "New York"], ["d"], [], ["e", "a"]]
    answers = model.predict_text(list(map(as_given, rows)), batch_size=3)
    assert [answer["tokens"] for answer in answers] == rows
    assert [len(answer["tags"]) for answer in answers] == [3, 1, 0, 2]
    assert answers[3]["tags"] == model.predict_text(["e a"])[0]["tags"]
    assert model.predict_text([[]]) == [{"tokens": [], "tags": [], "scores": [], "abstain": [], "lengths": 0}]


@pytest.mark.parametrize("wrong", [[["a"], "b"], [["a", ""]], [["a", 3]], [None], [[["a"]]], [{"a": 1}]])
def test_texts_that_are_neither_strings_nor_tokens_are_one_sentence(wrong):
    with pytest.raises(ValueError, match="^texts must be a list of strings, or of lists of tokens, none of them empty"):
        shared("labeler").predict_text(wrong)


@pytest.mark.parametrize("task", [task for task in TASKS if task != "labeler"])
def test_tokens_are_refused_where_no_task_takes_them(task):
    with pytest.raises(ValueError, match=r"^texts must be a list of strings. Received: texts=\[\['a', 'b'\]\]$"):
        shared(task).predict_text([["a", "b"]])
