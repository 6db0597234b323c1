"""One update of the weights: clipping, accumulation, mixed precision, several steps in one call."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from toy import EXAMPLES, TEXTS, dataset_of, small

from seq_models.tasks import TASKS
from seq_models.training.strategy import make_strategy

RATE = 0.5


def batch(model, task):
    [whole] = model.dataset(EXAMPLES[task], batch_size=len(TEXTS))
    return whole


def step(model, data, optimizer=None, **options):
    """Logs and weights after one step on a batch."""
    model.compile(optimizer or keras.optimizers.SGD(RATE), **options)
    logs = model.fit(dataset_of(data), verbose=0).history
    return {name: values[0] for name, values in logs.items()}, model.get_weights()


def assert_same(one, other, tolerance=1e-5):
    assert one[0].keys() == other[0].keys()
    for name, value in one[0].items():
        assert abs(value - other[0][name]) < tolerance, name
    assert max(np.abs(a - b).max() for a, b in zip(one[1], other[1], strict=True)) < tolerance


def gradients(model, data):
    """Those of the whole batch, from the definition of the loss, dense."""
    inputs, targets, weights = data
    with tf.GradientTape() as tape:
        log_p = tf.nn.log_softmax(model(inputs, training=True))
        picked = tf.gather(log_p, targets, batch_dims=targets.shape.rank)
        loss = -tf.reduce_sum(picked * weights) / tf.reduce_sum(weights)
    found = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return [tf.convert_to_tensor(gradient).numpy() for gradient in found]


def norm(arrays):
    return np.sqrt(sum((array**2).sum() for array in arrays))


@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.1}, {"clip_value": 0.01}])
def test_the_norm_in_the_logs_is_that_of_the_whole_gradient_before_clipping(clip):
    data = batch(small("language-model"), "language-model")
    expected = norm(gradients(small("language-model"), data))
    logs, _ = step(small("language-model"), data, **clip)
    assert abs(logs["gradient_norm"] - expected) < 1e-5


@pytest.mark.parametrize("replicas", [1, 2])
def test_clipping_by_value_bounds_every_number_of_the_gradient_of_the_global_batch(replicas):
    data = batch(small("language-model"), "language-model")
    before = small("language-model").get_weights()
    clipped = [np.clip(gradient, -0.01, 0.01) for gradient in gradients(small("language-model"), data)]
    with make_strategy("mirrored" if replicas == 2 else "one").scope():
        model = small("language-model")
        _, after = step(model, data, clip_value=0.01)
        assert model.distribute_strategy.num_replicas_in_sync == replicas
    for old, new, gradient in zip(before, after, clipped, strict=True):
        assert np.abs(old - RATE * gradient - new).max() < 1e-6


def test_the_norm_of_an_epoch_is_the_mean_over_its_steps_and_an_evaluation_has_none():
    model, task = small("classifier"), "classifier"
    data = model.dataset(EXAMPLES[task], batch_size=3)
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(data, validation_data=data, verbose=0).history
    norms = [norm(gradients(model, part)) for part in data]
    assert abs(history["gradient_norm"][0] - np.mean(norms)) < 1e-5
    assert "val_gradient_norm" not in history
    assert "gradient_norm" not in model.evaluate(data, verbose=0, return_dict=True)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_accumulating_changes_neither_logs_nor_updated_weights_on_one_replica_nor_on_two(task):
    data = batch(small(task), task)  # 8 rows in 3 parts, or 4 in 3 on each of two replicas
    whole = step(small(task), data, clip_norm=0.1)
    assert_same(whole, step(small(task), data, clip_norm=0.1, accumulate=3))
    with make_strategy("mirrored").scope():
        model = small(task)
        assert_same(whole, step(model, data, clip_norm=0.1, accumulate=3))
        assert model.distribute_strategy.num_replicas_in_sync == 2


@pytest.mark.slow
def test_there_may_be_more_parts_than_rows():
    data = batch(small("labeler"), "labeler")
    assert_same(step(small("labeler"), data), step(small("labeler"), data, accumulate=len(TEXTS) + 2))


def test_accumulating_counts_penalties_of_regularizers_once():
    def penalized():
        model = small("language-model")
        model.network.stack[0].cell.kernel.regularizer = keras.regularizers.L2(1.0)
        return model

    data = batch(penalized(), "language-model")
    assert_same(step(penalized(), data), step(penalized(), data, accumulate=3))


def test_accumulating_on_two_replicas_works_with_dropout():
    with make_strategy("mirrored").scope():
        model = small("language-model", dropout=0.5)
        logs, _ = step(model, batch(model, "language-model"), accumulate=2)
    assert np.isfinite(logs["loss"])


def test_the_parts_of_a_batch_are_worked_through_one_after_the_other():
    """The graph has one loop, whose body has the forward and the backward pass of one part."""
    model = small("language-model")
    data = batch(model, "language-model")

    def products(parts):
        model.compile(keras.optimizers.SGD(RATE), accumulate=parts)
        model.optimizer.build(model.trainable_variables)
        graph = tf.function(model.train_step).get_concrete_function(data).graph
        return sum(operation.type == "MatMul" for operation in graph.get_operations())

    assert products(1) > 0
    assert products(4) == 0


@pytest.mark.parametrize(
    "wrong",
    [{"clip_value": 0}, {"clip_norm": 1.0, "clip_value": 1.0}, {"accumulate": 0}, {"accumulate": True}],
)
def test_compile_refuses_what_it_would_not_honour(wrong):
    with pytest.raises(ValueError, match="Received"):
        small("classifier").compile(**wrong)


def test_a_saved_model_is_compiled_as_it_was(tmp_path):
    model = small("classifier")
    step(model, batch(model, "classifier"), clip_value=0.5, accumulate=2, steps_per_execution=3)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_compile_config() == model.get_compile_config()
    assert (again.clip_norm, again.clip_value, again.accumulate, again.steps_per_execution) == (None, 0.5, 2, 3)


@pytest.mark.slow
def test_several_steps_in_one_call_give_the_same_logs_and_weights():
    def trained(steps):
        model = small("language-model")
        model.compile(keras.optimizers.SGD(RATE), clip_norm=1.0, steps_per_execution=steps)
        data = model.dataset(TEXTS, batch_size=2)
        history = model.fit(data, validation_data=data, epochs=2, verbose=0).history
        return {name: values[-1] for name, values in history.items()}, model.get_weights()

    assert_same(trained(1), trained(3))


def test_data_without_weights_counts_every_token_once():
    """The step in which the data ends must not count the weights, which then are a constant of the graph."""
    model, task = small("classifier"), "classifier"
    inputs, targets, _ = batch(model, task)
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(dataset_of((inputs, targets)), validation_data=dataset_of((inputs, targets)), verbose=0).history
    expected = float(tf.reduce_mean(model.compare(inputs, targets)[0]))
    assert abs(history["loss"][0] - expected) < 1e-5 and abs(history["val_loss"][0] - expected) < 1e-5


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_a_clone_is_a_new_model_of_the_same_task_compiled_alike(task, compiled):
    model = small(task)
    if compiled:
        model.compile(keras.optimizers.SGD(RATE), clip_value=0.5, accumulate=2)
    clone = keras.models.clone_model(model)
    assert type(clone) is type(model) and clone.get_config() == model.get_config()
    assert clone.get_compile_config() == model.get_compile_config()
    clone.set_weights(model.get_weights())
    assert clone.predict_text(TEXTS) == model.predict_text(TEXTS)
    clone.set_weights([0 * weight for weight in clone.get_weights()])
    assert clone.predict_text(TEXTS) != model.predict_text(TEXTS)


def test_the_metrics_of_an_earlier_compile_are_gone():
    model, task = small("classifier"), "classifier"
    data = dataset_of(batch(model, task))
    model.compile(
        "sgd", metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="extra", from_logits=True)]
    )
    assert "extra" in model.fit(data, verbose=0).history
    model.compile("sgd")
    assert "extra" not in model.fit(data, verbose=0).history
