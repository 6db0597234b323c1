"""Weights of classes and of examples: the loss is Σ w loss / Σ w."""

import keras
import numpy as np
import pytest
from toy import EXAMPLES, small

import seq_models as sm
from seq_models.tasks import TASKS
from seq_models.training.class_weights import class_weights
from seq_models.training.options import TrainingOptions
from seq_models.training.trainer import train

TASK_NAMES = tuple(EXAMPLES)


def weighted(example, weight):
    return (*example, weight) if isinstance(example, tuple) else (example, weight)


def loss_of(model, examples):
    model.compile()
    return model.evaluate(model.dataset(examples), return_dict=True, verbose=0)["loss"]


@pytest.mark.parametrize("task", TASK_NAMES)
def test_an_example_of_weight_2_counts_as_two_and_one_of_weight_0_as_none(task):
    model, (first, second, third, *_) = small(task), EXAMPLES[task]
    by_weight = loss_of(model, [weighted(first, 2), weighted(second, 0), third])
    assert by_weight == pytest.approx(loss_of(model, [first, first, third]), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_training_step_weighs_examples_as_a_validation_does(task):
    data = [weighted(example, 1 + place % 3) for place, example in enumerate(EXAMPLES[task])]
    repeated = [example for place, example in enumerate(EXAMPLES[task]) for _ in range(1 + place % 3)]
    trained = []
    for examples in (data, repeated):
        model = small(task)
        model.compile(keras.optimizers.SGD(0.5))
        model.fit(model.dataset(examples, batch_size=100), verbose=0)
        trained.append([weight.numpy() for weight in model.weights])
    for ours, theirs in zip(*trained, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert model.samples(data[:2]) == model.samples(EXAMPLES[task][:2])


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_a_weight_below_0_or_none_at_all_is_refused(weight):
    with pytest.raises(sm.InputError, match="example 1: expected a weight of 0 or more"):
        small("classifier").dataset([("a", "long", weight)])


@pytest.mark.parametrize("names", [True, False])
def test_class_weights_of_fit_are_weights_of_the_examples_of_the_class(names):
    labels = small("classifier").preprocessor.labels.names
    weights = {"short": 3.0} if names else {labels.index("short"): 3.0}
    by_example = [weighted(example, 3.0 if example[1] == "short" else 1.0) for example in EXAMPLES["classifier"]]
    trained = []
    for examples, class_weight in ((EXAMPLES["classifier"], weights), (by_example, None)):
        model = small("classifier")
        model.compile(keras.optimizers.SGD(0.5))
        history = model.fit(model.dataset(examples), class_weight=class_weight, verbose=0).history
        trained.append([history["loss"][0], *(weight.numpy() for weight in model.weights)])
    for ours, theirs in zip(*trained, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_class_weights_of_one_fit_are_none_of_the_next():
    histories = []
    for class_weight in ({"short": 100.0}, None):
        model = small("classifier")
        model.compile(keras.optimizers.SGD(0.0))
        data = model.dataset(EXAMPLES["classifier"])
        model.fit(data, class_weight=class_weight, verbose=0)
        histories.append(model.fit(data, verbose=0).history["loss"])
    assert histories[0] == histories[1]


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    for task in ("classifier", "labeler"):
        model = small(task)
        names = model.preprocessor.labels.names
        y = [label for example in EXAMPLES[task] for label in model.preprocessor.example_type.labels(example)]
        expected = compute_class_weight("balanced", classes=np.array(names), y=y)
        found = class_weights("balanced", model.preprocessor, EXAMPLES[task])
        assert [found[name] for name in names] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("task", "wanted", "received"),
    [
        ("classifier", "long=2,medium=1", "medium=1"),
        ("classifier", "long=-1", "long=-1"),
        ("classifier", "long", "long"),
        ("language-model", "balanced", "class_weights='balanced'"),
    ],
)
def test_weights_of_unknown_classes_or_below_0_are_refused(tmp_path, task, wanted, received):
    options, data = TrainingOptions(class_weights=wanted), {"train": "a", "valid": "a", "columns": []}
    with pytest.raises(sm.InputError, match=f"class_weights must .*Received: '?{received}"):
        train(TASKS[task], EXAMPLES[task], EXAMPLES[task], tmp_path, options, {"tokenizer": "whitespace"}, data)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "answer"), [(None, "no"), ("yes=40", "yes")])
def test_a_training_weighs_classes_by_its_option(tmp_path, wanted, answer):
    rare = [("a b", "no")] * 47 + [("a b", "yes")] * 3
    options = TrainingOptions(class_weights=wanted, epochs=20, learning_rate=0.05, watch_share=0.0, monitor="val_loss")
    data = {"train": "a", "valid": "b", "columns": []}
    valid = [("a b", answer)]  # the best epoch is the last
    found = train(TASKS["classifier"], rare, valid, tmp_path, options, {"units": 4}, data)
    assert sm.load_run(found.path).predict_text(["a b"])[0]["label"] == answer


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "weight\tlabel\ttext\n2\tlong\ta b c\n0.5\tshort\ta\n"),
        ("a.csv", "text,label,weight\na b c,long,2\na,short,0.5\n"),
        (
            "a.jsonl",
            '{"text": "a b c", "label": "long", "weight": 2}\n{"text": "a", "label": "short", "weight": 0.5}\n',
        ),
    ],
)
def test_a_column_weight_weighs_the_examples_of_a_file(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    examples = sm.read_examples(tmp_path / name)
    assert list(examples) == [("a b c", "long", 2.0), ("a", "short", 0.5)]
    model = small("classifier")
    alone = [loss_of(model, [example[:2]]) for example in examples]
    assert loss_of(model, examples) == pytest.approx((2 * alone[0] + 0.5 * alone[1]) / 2.5)


def test_a_weight_that_is_no_number_is_named_with_its_line(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\tweight\na\tlong\t1\nb\tlong\tmuch\n")
    with pytest.raises(sm.InputError, match=r"a\.tsv:3: .*a number in 'weight'"):
        list(sm.read_examples(tmp_path / "a.tsv"))
