"""Heads over whole sentences in a labeler: what is chosen when, legal answers, losses, files, exports, kills."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_export import Servable
from test_resume import assert_bit_equal, contents, run, run_and_kill
from test_training import assert_same, batch, pad, step
from toy import small

import seq_models as sm
from seq_models.layers import CRFHead, LegalHead, SoftmaxHead
from seq_models.networks import SequenceLabeler
from seq_models.text.schemes import legal_transitions
from seq_models.training.strategy import make_strategy

H = 6
ENTITIES = [
    ("a b c d e".split(), "B-X I-X O B-Y O".split()),
    (["b"], ["B-X"]),
    ("c a".split(), "O B-Y".split()),
    ("e e e d b a c".split(), "O O O B-Y I-Y B-X O".split()),
]
SMALL = {"tokenizer": "whitespace", "units": 5, "embedding_units": 4, "characters": False}
LABELS = ["B-X", "B-Y", "I-X", "I-Y", "O"]
K = len(LABELS)
LEGAL = legal_transitions(LABELS, "BIO")
every_head = pytest.mark.parametrize("head", ["legal", "crf"])


def labeler(**options):
    """A small labeler with random weights, large ones, so that nothing is likely by itself."""
    model = sm.SequenceLabeler.from_examples(ENTITIES, **{**SMALL, **options})
    random = np.random.default_rng(7)
    model.set_weights([random.normal(size=w.shape, scale=2) for w in model.get_weights()])
    return model


def built(head_class, **options):
    head = head_class(K, LEGAL, **options)
    head.build([(None, None, H), (None, None)])
    head.set_weights([np.random.normal(size=w.shape) for w in head.get_weights()])
    return head


def states(B=3, T=5):
    """Hidden states, and a mask with padding at the end."""
    mask = np.arange(T) < np.random.randint(1, T + 1, B)[:, None]
    return np.random.normal(size=(B, T, H)).astype("float32"), mask


@pytest.mark.parametrize(
    ("labels", "head", "expected"),
    [
        ("B-X I-X O", "auto", CRFHead),
        ("NOUN VERB", "auto", SoftmaxHead),
        ("B-X I-X O", "softmax", SoftmaxHead),
        ("B-X I-X O", "legal", LegalHead),
        ("NOUN VERB", "crf", CRFHead),
    ],
)
def test_tags_of_entities_get_a_crf_and_others_a_softmax_unless_another_head_is_asked_for(labels, head, expected):
    labels = labels.split()
    model = sm.SequenceLabeler.from_examples([(list("abc")[: len(labels)], labels)], head=head, **SMALL)
    assert type(model.network.head) is expected


def test_legal_steps_only_need_tags_of_a_scheme():
    with pytest.raises(ValueError, match="head=legal needs tags of entities, as B-PER and O, .*. Received: labels of"):
        sm.SequenceLabeler.from_examples([(["a"], ["NOUN"])], head="legal", **SMALL)


def test_a_head_of_ones_own_stays_and_no_other_can_be_asked_for():
    own = type("OwnLabeler", (SequenceLabeler,), {"head_class": type("Own", (SoftmaxHead,), {})})
    assert type(own(9, K, legal=LEGAL, units=3).head).__name__ == "Own"
    with pytest.raises(ValueError, match="head=crf needs the head SoftmaxHead. Received: head_class=Own"):
        own(9, K, legal=LEGAL, units=3, head="crf")


@every_head
@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_an_untrained_model_writes_no_illegal_step(head, scheme):
    model = labeler(head=head, scheme=scheme)
    names = model.preprocessor.labels.names
    legal = legal_transitions(names, scheme)
    texts = [np.random.choice(list("abcdeuvw"), length).tolist() for length in np.random.randint(1, 15, 200)]
    seen = set()
    for answer in model.predict_text(texts):
        steps = [len(names), *map(names.index, answer["tags"]), len(names)]
        assert all(legal[before][tag] for before, tag in zip(steps, steps[1:], strict=False))
        seen.update(answer["tags"])
    assert len(seen) > len(names) / 2


@every_head
def test_an_answer_does_not_depend_on_the_texts_beside_it_and_its_scores_are_probabilities(head):
    model = labeler(head=head)
    texts = [["a", "b", "d"], list("edcba" * 3), ["c"]]
    together = model.predict_text(texts)
    for text, answer in zip(texts, together, strict=True):
        [alone] = model.predict_text([text])
        assert alone["tags"] == answer["tags"] and len(answer["tags"]) == len(text)
        np.testing.assert_allclose(alone["scores"], answer["scores"], rtol=1e-4)
        assert all(0 < score <= 1 for score in answer["scores"])


def test_the_loss_of_a_crf_is_that_of_its_sentences_and_a_mean_over_tokens():
    model = labeler(head="crf")
    inputs, targets, weights = model.batch(ENTITIES)
    chain = model.network.head.chain(model.hidden(inputs))
    tokens = sum(len(tokens) for tokens, _ in ENTITIES)
    expected = -float(tf.reduce_sum(chain.log_likelihood(targets))) / tokens
    model.compile()
    for size in (1, 2, 4):
        loss = model.evaluate(model.dataset(ENTITIES, size), verbose=0, return_dict=True)["loss"]
        assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_padding_order_parts_and_replicas_change_neither_loss_nor_updated_weights_of_a_crf():
    data = batch(small("labeler", head="crf"), "labeler")
    whole = step(small("labeler", head="crf"), data)
    turned = tf.nest.map_structure(lambda tensor: tensor[::-1], data)
    assert_same(whole, step(small("labeler", head="crf"), pad(turned)))
    assert_same(whole, step(small("labeler", head="crf"), data, accumulate=3))
    with make_strategy("mirrored").scope():
        model = small("labeler", head="crf")
        assert_same(whole, step(model, data))
        assert model.distribute_strategy.num_replicas_in_sync == 2


def test_the_loss_of_the_legal_head_is_that_of_the_softmax():
    head = built(LegalHead)
    hidden, mask = states()
    targets = np.random.randint(0, K, mask.shape)
    plain = SoftmaxHead(K)
    plain.build(hidden.shape)
    plain.set_weights(head.get_weights())
    losses, predicted = head.compare((hidden, mask), targets)
    np.testing.assert_allclose(losses, plain.compare(hidden, targets)[0], rtol=1e-6)
    np.testing.assert_array_equal(predicted, head.predict((hidden, mask)))


def test_probabilities_of_the_legal_head_are_those_of_the_softmax_where_all_is_legal():
    head, (hidden, mask) = built(LegalHead), states()
    head.legal = None
    expected = tf.nn.softmax(head((hidden, mask))) * mask[..., None]
    np.testing.assert_allclose(head.probabilities((hidden, mask)), expected, rtol=1e-5, atol=1e-6)


def test_an_illegal_target_has_neither_loss_nor_gradient_and_does_not_spoil_the_others():
    head, hidden = built(CRFHead), states(1, 3)[0]
    mask, targets = np.ones((1, 3), bool), np.array([[4, 2, 2]])  # O I-X I-X
    with tf.GradientTape() as tape:
        losses, _ = head.compare((hidden, mask), targets)
    assert losses[0, 1] == 0 and losses[0, 0] > 0 and losses[0, 2] > 0
    for gradient in tape.gradient(losses, [v.value for v in head.trainable_variables]):
        assert np.isfinite(gradient).all() and 0 < np.abs(gradient).max() < 100


def test_a_training_that_has_diverged_has_no_small_loss():
    head, (hidden, mask) = built(CRFHead), states(8, 6)
    losses, _ = head.compare((1e4 * hidden, mask), np.full(mask.shape, K - 1))
    assert float(tf.reduce_max(losses)) > 100


def test_what_is_illegal_is_never_learned_nor_unlearned():
    head, (hidden, mask) = built(CRFHead), states(8, 6)
    with tf.GradientTape() as tape:
        losses, _ = head.compare((hidden, mask), head.predict((hidden, mask)))
    gradient = tape.gradient(losses, head.trainable_variables[2].value).numpy()
    illegal = np.array(LEGAL) == 0
    assert not gradient[illegal].any() and np.count_nonzero(gradient) > 5


def test_losses_and_probabilities_have_32_bits_at_least():
    for policy, dtype in (("mixed_bfloat16", "float32"), ("float64", "float64")):
        head, (hidden, mask) = built(CRFHead, dtype=policy), states()
        inputs = hidden.astype(dtype), mask
        losses, _ = head.compare(inputs, np.full(mask.shape, K - 1))
        assert losses.dtype == head.probabilities(inputs).dtype == dtype
        assert head(inputs).dtype == head.compute_dtype


@pytest.mark.parametrize("head_class", [LegalHead, CRFHead])
def test_a_head_survives_its_configuration(head_class):
    head = head_class(K, LEGAL, kernel_initializer="zeros", name="logits")
    assert head_class.from_config(head.get_config()).get_config() == head.get_config()


@every_head
def test_a_network_survives_its_file(head, tmp_path):
    before = SequenceLabeler(9, K, legal=LEGAL, units=3, head=head)
    before.save(tmp_path / "model.keras")
    after = keras.saving.load_model(tmp_path / "model.keras")
    tokens = np.array([[4, 5, 6, 3], [7, 3, 0, 0]])
    expected, found = (net.head.predict(net.body(tokens)) for net in (before, after))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@every_head
def test_a_model_learns_by_heart(head):
    model = sm.SequenceLabeler.from_examples(ENTITIES, **{**SMALL, "units": 16, "head": head})
    model.compile(keras.optimizers.Adam(0.05))
    logs = model.fit(model.dataset(ENTITIES, 2, shuffle=True), epochs=40, verbose=0).history
    assert logs["loss"][-1] < 0.1 and logs["entity_f1"][-1] == 1
    assert model.score(ENTITIES)["entity_f1"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("head", ["softmax", "legal", "crf"])
def test_an_export_answers_as_the_model_does_with_the_n_best_too_which_begin_with_the_answer(head, tmp_path):
    model = labeler(head=head, capitals=True, word_shape=True, prefixes=1, suffixes=2, lowercase=True)
    texts = ["a B c", "", "e e U w a", "d", "d " * 20]
    served = Servable(sm.export(model, tmp_path))
    answers = served(text=texts)
    ways = served("n_best", text=texts)
    spread = served("marginals", text=texts)
    for row, (answer, found) in enumerate(zip(model.predict_text(texts), model.n_best(texts, 5), strict=True)):
        assert found["tags"][0] == answer["tags"] and found["tokens"] == answer["tokens"]
        log_p, count, length = found["log_probabilities"], len(found["tags"]), answer["lengths"]
        assert [tag.decode() for tag in answers["tags"][row, :length]] == answer["tags"]
        np.testing.assert_allclose(answers["scores"][row, :length], answer["scores"], rtol=1e-5)
        assert log_p == sorted(log_p, reverse=True) and np.exp(log_p).sum() < 1 + 1e-5
        assert len({tuple(tags) for tags in found["tags"]}) == count
        for number, tags in enumerate(found["tags"]):
            assert [tag.decode() for tag in ways["tags"][row, number, :length]] == tags
        np.testing.assert_allclose(ways["log_probabilities"][row, :count], log_p, rtol=1e-4, atol=1e-5)
        assert not ways["tags"][row, count:].any() and (ways["log_probabilities"][row, count:] < -1e30).all()
        shares = spread["probabilities"][row, :length]
        np.testing.assert_allclose(shares.sum(axis=-1), 1, rtol=1e-5)
        names = [label.decode() for label in spread["labels"][row]]
        chosen = [share[names.index(tag)] for share, tag in zip(shares, answer["tags"], strict=True)]
        np.testing.assert_allclose(chosen, answer["scores"], rtol=1e-4)
    assert len(model.n_best([["d"]], 50)[0]["tags"]) == {"softmax": 5, "legal": 3, "crf": 3}[head]
    assert [len(each["tags"]) for each in model.n_best(["d e", "a"], 2, batch_size=1)] == [2, 2]


def test_n_best_refuses_what_is_no_text_or_number():
    for texts, n, message in [("a", 2, "texts must be a list of strings"), (["a"], 0, "n must be a positive integer")]:
        with pytest.raises(ValueError, match=message):
            labeler().n_best(texts, n)


@pytest.mark.slow
def test_a_killed_training_with_a_crf_goes_on_as_if_nothing_had_been(tmp_path):
    whole, killed = run_and_kill(tmp_path, 5, "labeler", {"head": "crf"}, epochs=2)
    assert_bit_equal(contents(run(killed.path, "labeler", {"head": "crf"}, epochs=2)), contents(whole))
