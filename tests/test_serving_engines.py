"""The engines of an export are equal to those of training, and are left behind with the export."""

import collections
import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from toy import small

import seq_models as sm
from seq_models.exports.audit import Artifact
from seq_models.exports.engines import SERVING, BlockLSTM
from seq_models.exports.export import vocabularies_in, write
from seq_models.layers import GRUCell, LSTMCell, engines

EXAMPLES = [(["a", "b", "a", "c", "b"], ["A", "B", "A", "C", "B"]), (["c"], ["C"])]
SMALL = {"units": 4, "embedding_units": 3, "characters": False}
LENGTHS = [6, 3, 1, 0]
close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


def numbers(*shape):
    return tf.constant(np.random.default_rng(len(shape)).normal(size=shape), tf.float32)


@pytest.mark.parametrize(
    "go_backwards, use_bias, masked", list(itertools.product([False, True], [True, False], [True, False]))
)
def test_one_operation_is_an_lstm_over_all_steps(go_backwards, use_bias, masked):
    layer = sm.layers.LSTM(5, go_backwards=go_backwards, use_bias=use_bias, return_sequences=True, return_state=True)
    x, states = numbers(4, 6, 3), [numbers(4, 5), 2 * numbers(4, 5)]
    mask = tf.sequence_mask(LENGTHS, 6) if masked else None
    layer(x)
    layer.set_weights([np.array(numbers(*weight.shape)) for weight in layer.get_weights()])
    outputs, *last = layer(x, mask=mask, initial_state=states)
    with engines.using(BlockLSTM()):
        served, *last_served = layer(x, mask=mask, initial_state=states)
    for one, other in zip(last, last_served, strict=True):
        close(other, one)
    real = np.ones((4, 6), bool) if mask is None else mask.numpy()
    real = real[:, ::-1] if go_backwards else real
    close(served.numpy()[real], outputs.numpy()[real])


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_a_model_answers_the_same_with_the_engines_of_an_export_and_is_itself_again_after_it(
    cell, bidirectional, tmp_path
):
    model = sm.SequenceLabeler.from_examples(EXAMPLES, cell=cell, layers=2, bidirectional=bidirectional, **SMALL)
    text = tf.constant(["a b a c b", "c", "", "b a"])

    def operations():
        concrete = tf.function(model.respond).get_concrete_function(tf.TensorSpec([None], tf.string))
        types = (operation.type.removeprefix("Stateless") for operation in concrete.graph.get_operations())
        return collections.Counter(types)

    before, expected = operations(), model.respond(text)
    with pytest.raises(KeyError), engines.using(*SERVING), vocabularies_in(tmp_path, model):
        found, served = tf.function(model.respond)(text), operations()
        raise KeyError
    assert operations() == before
    recurrences = 2 * (1 + bidirectional)
    if cell == "lstm":
        assert served["BlockLSTMV2"] == recurrences and served["While"] == 0
    else:
        assert served["While"] == recurrences and served["IdentityN"] == 0  # which a gradient of one's own leaves
    fused = sum(count for name, count in before.items() if name.startswith("SeqModels"))
    assert (fused, before["While"]) in ((recurrences, 0), (0, 4))  # loops of two directions, or of two halves
    for name, answer in expected.items():
        if answer.dtype == tf.string:
            assert (found[name].numpy() == answer.numpy()).all()
        else:
            close(found[name], answer)


def test_a_vocabulary_is_a_file_within_and_the_tables_from_before_after_it(tmp_path):
    model = sm.SequenceLabeler.from_examples(EXAMPLES, cell="lstm", layers=1, **{**SMALL, "characters": True})
    vocabularies = model.preprocessor.vocabularies()
    before = [vocabulary.tables for vocabulary in vocabularies]
    with vocabularies_in(tmp_path, model) as tables:
        assert len(list(tmp_path.iterdir())) == len(vocabularies) > 1
        assert tables == [table for vocabulary in vocabularies for table in vocabulary.tables]
        assert not set(map(id, tables)) & {id(table) for pair in before for table in pair}
    assert [vocabulary.tables for vocabulary in vocabularies] == before


@pytest.mark.parametrize(
    "cell, options, facts, can",
    [
        (LSTMCell, {}, {}, True),
        (LSTMCell, {"activation": "relu"}, {}, False),
        (LSTMCell, {"recurrent_activation": "hard_sigmoid"}, {}, False),
        (LSTMCell, {}, {"training": True}, False),
        (GRUCell, {}, {}, False),
    ],
)
def test_one_operation_is_only_for_an_lstm_as_it_is_outside_training(cell, options, facts, can):
    facts = engines.Facts(cell(3, **options), **facts)
    with engines.using(*SERVING):
        assert type(engines.choose(facts)) is (BlockLSTM if can else engines.ForwardLoop)


@pytest.mark.parametrize("cell, operation", [("lstm", "BlockLSTMV2"), ("gru", "While")])
def test_an_export_is_traced_with_these_engines(cell, operation, tmp_path):
    write(small("classifier", cell=cell), tmp_path)
    types = collections.Counter(node.op.removeprefix("Stateless") for node in Artifact(tmp_path).nodes)
    assert types[operation] == 2  # one for each direction
    assert types["BlockLSTMV2"] + types["While"] == 2
