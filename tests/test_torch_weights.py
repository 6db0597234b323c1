"""Weights go to `torch.nn` and come from there, and the function and its gradients stay the same."""

import keras
import numpy as np
import pytest
from parity import B, D, H, T, assert_same, evaluate, normal, randomize

from seq_models.layers import GRU, LSTM, AdaptiveSoftmaxHead, Bidirectional, SimpleRNN, from_torch, to_torch

LAYERS = {
    "rnn": (SimpleRNN, {}),
    "rnn-relu": (SimpleRNN, {"activation": "relu"}),
    "lstm": (LSTM, {}),
    "gru": (GRU, {"reset_after": True}),
}
GATES = {"rnn": [0], "rnn-relu": [0], "lstm": [0, 1, 2, 3], "gru": [1, 0, 2]}  # in torch; the number is that in Keras
LENGTHS = np.array([5, 1, 3, 5, 2, 4])
MASK = np.arange(T) < LENGTHS[:, None]
every_kind = pytest.mark.parametrize("kind", LAYERS)
every_depth = pytest.mark.parametrize("depth", [1, 2], ids=["one-layer", "two-layers"])
every_direction = pytest.mark.parametrize("directions", [1, 2], ids=["one-direction", "two-directions"])
mask_or_none = pytest.mark.parametrize("mask", [None, MASK], ids=["no-mask", "mask"])


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="compared with torch.nn, which is not installed")


def stack_of(kind, directions=1, depth=1, dtype="float32", **options):
    """A list of built layers with random unequal weights, lowest first."""
    layer_class, own = LAYERS[kind]
    options = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True, **own, **options}
    stack = [layer_class(H, dtype=dtype, **options) for _ in range(depth)]
    if directions == 2:
        stack = [Bidirectional(layer, dtype=dtype) for layer in stack]
    for k, layer in enumerate(stack):
        layer.build((None, None, directions * H if k else D))
        randomize(layer)
    return stack


def module_of(torch, kind, directions=1, depth=1, dtype="float32", use_bias=True):
    """The module of `torch.nn` that a stack of these options is."""
    options = {"bias": use_bias, "bidirectional": directions == 2, "dtype": getattr(torch, dtype), "batch_first": True}
    if kind.startswith("rnn"):
        return torch.nn.RNN(D, H, depth, nonlinearity="relu" if kind == "rnn-relu" else "tanh", **options)
    return {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](D, H, depth, **options)


def tensors(torch, state):
    return {name: torch.tensor(array) for name, array in state.items()}


def packed(kind, weight):
    """A weight of Keras, gates side by side, as `torch.nn` holds it."""
    gates = np.split(np.asarray(weight), len(GATES[kind]), axis=-1)
    return np.concatenate([gates[k] for k in GATES[kind]], axis=-1).T


def as_torch(kind, arrays, directions=1, use_bias=True):
    """Weights of a stack, or their gradients, by their names in `torch.nn`; a single bias stands for both."""
    arrays, per_direction = list(arrays), 3 if use_bias else 2
    named = {}
    for number, start in enumerate(range(0, len(arrays), per_direction)):
        depth, backward = divmod(number, directions)
        suffix = f"l{depth}{'_reverse' if backward else ''}"
        kernel, recurrent_kernel, *bias = arrays[start : start + per_direction]
        named |= {f"weight_ih_{suffix}": packed(kind, kernel), f"weight_hh_{suffix}": packed(kind, recurrent_kernel)}
        if bias:
            ih, hh = np.array(bias[0]) if kind == "gru" else (bias[0], bias[0])
            named |= {f"bias_ih_{suffix}": packed(kind, ih), f"bias_hh_{suffix}": packed(kind, hh)}
    return named


def example(stack, directions=1, dtype="float32"):
    """[x, *first states in the order of the layers], random."""
    cell = stack[0].forward_layer.cell if directions == 2 else stack[0].cell
    states = len(stack) * directions * len(cell.get_initial_state(1))
    return [array.astype(dtype) for array in (normal(B, T, D), *(normal(B, H) for _ in range(states)))]


def measure(kind, stack, inputs, mask=None, directions=1):
    """Outputs, last states and all gradients of a stack, those of weights by their names in `torch.nn`."""
    per_layer = (len(inputs) - 1) // len(stack)

    def call(x, *states):
        last = []
        for k, layer in enumerate(stack):
            first = list(states[k * per_layer : (k + 1) * per_layer])
            x, *after = layer(x, initial_state=first, mask=mask)
            last += after
        return [x, *last]

    variables = [variable for layer in stack for variable in layer.trainable_variables]
    measured = evaluate(call, inputs, variables)
    named = [f"gradient of {variable.name} {k}" for k, variable in enumerate(variables)]
    gradients = as_torch(kind, [measured.pop(name) for name in named], directions, len(variables) % 3 == 0)
    return measured | {f"gradient of {name}": gradient for name, gradient in gradients.items()}


def measure_torch(torch, module, inputs, mask=None):
    """The same of a module of `torch.nn`."""
    x, *states = (torch.tensor(array, requires_grad=True) for array in inputs)
    kinds = 2 if isinstance(module, torch.nn.LSTM) else 1  # h and c, or h
    first = [torch.stack(states[k::kinds]) for k in range(kinds)]
    read = x
    if mask is not None:
        lengths = torch.tensor(mask.sum(axis=1))
        read = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, last = module(read, tuple(first) if kinds == 2 else first[0])
    if mask is not None:
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True, total_length=T)
    last = last if kinds == 2 else [last]
    outputs = [outputs, *(state[k] for k in range(len(last[0])) for state in last)]
    loss = sum((output.flatten() * torch.cos(torch.arange(output.numel(), dtype=x.dtype))).sum() for output in outputs)
    loss.backward()
    measured = {f"output {k}": output for k, output in enumerate(outputs)}
    measured |= {f"gradient of input {k}": each.grad for k, each in enumerate([x, *states])}
    measured |= {f"gradient of {name}": each.grad for name, each in module.named_parameters()}
    return {name: value.detach().numpy() for name, value in measured.items()}


def assert_same_as_torch(torch, kind, mask=None, tolerance=1e-5, **options):
    stack, module = stack_of(kind, **options), module_of(torch, kind, **options)
    module.load_state_dict(tensors(torch, to_torch(*stack)))
    directions = options.get("directions", 1)
    inputs = example(stack, directions, options.get("dtype", "float32"))
    measured = measure(kind, stack, inputs, mask, directions)
    assert_same(measured, measure_torch(torch, module, inputs, mask), tolerance)


# The function


@mask_or_none
@every_depth
@every_direction
@every_kind
def test_outputs_states_and_all_gradients_are_those_of_torch(torch, kind, directions, depth, mask):
    options = {"directions": directions, "depth": depth, "dtype": "float64"}
    assert_same_as_torch(torch, kind, mask, 1e-10, **options)


@mask_or_none
@every_kind
def test_in_single_precision_they_are_those_of_torch_to_five_digits(torch, kind, mask):
    assert_same_as_torch(torch, kind, mask, 1e-5, directions=2, depth=2)


@mask_or_none
@every_kind
def test_without_biases_they_are_those_of_torch_too(torch, kind, mask):
    options = {"directions": 2, "depth": 2, "dtype": "float64", "use_bias": False}
    assert_same_as_torch(torch, kind, mask, 1e-10, **options)


@every_direction
@every_kind
def test_a_module_of_torch_with_two_biases_is_the_same_function_here(torch, kind, directions):
    options = {"directions": directions, "depth": 2, "dtype": "float64"}
    torch.manual_seed(20)
    stack, module = stack_of(kind, **options), module_of(torch, kind, **options)
    biases = [value for name, value in module.state_dict().items() if name.startswith("bias")]
    assert all(value.abs().min() > 0 for value in biases)
    from_torch(module.state_dict(), *stack)
    inputs = example(stack, directions, "float64")
    measured = measure(kind, stack, inputs, MASK, directions)
    assert_same(measured, measure_torch(torch, module, inputs, MASK), 1e-10)


# Names and packing


@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no-bias"])
@every_depth
@every_direction
@every_kind
def test_names_shapes_and_numbers_are_those_that_torch_documents(kind, directions, depth, use_bias):
    stack = stack_of(kind, directions, depth, use_bias=use_bias)
    state = to_torch(*stack)
    weights = [weight for layer in stack for weight in layer.get_weights()]
    expected = as_torch(kind, weights, directions, use_bias)
    if kind != "gru":  # one bias there, which enters once
        expected |= {name: 0 * array for name, array in expected.items() if name.startswith("bias_hh")}
    assert list(state) == list(expected)
    G = len(GATES[kind]) * H
    for name, array in state.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
        inputs = H if "weight_hh" in name else D if "_l0" in name else directions * H
        assert array.shape == ((G,) if name.startswith("bias") else (G, inputs))


@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no-bias"])
@every_direction
@every_kind
def test_weights_that_go_and_come_back_are_the_same(kind, directions, use_bias):
    stack, other = (stack_of(kind, directions, depth=2, use_bias=use_bias) for _ in range(2))
    from_torch(to_torch(*stack), *other)
    for layer, expected in zip(other, stack, strict=True):
        for weight, before in zip(layer.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, before)


def test_two_biases_of_an_lstm_come_as_their_sum_and_those_of_a_gru_stay_two():
    for kind in ("lstm", "gru"):
        [layer] = stack_of(kind)
        state = to_torch(layer)
        state |= {"bias_ih_l0": normal(*state["bias_ih_l0"].shape), "bias_hh_l0": normal(*state["bias_hh_l0"].shape)}
        from_torch(state, layer)
        ih, hh = state["bias_ih_l0"], state["bias_hh_l0"]
        bias = packed(kind, layer.get_weights()[2]).T
        np.testing.assert_array_equal(bias, [ih, hh] if kind == "gru" else ih + hh)


def test_what_was_handed_out_does_not_change_with_the_layer():
    [layer] = stack_of("lstm")
    state = to_torch(layer)
    before = {name: array.copy() for name, array in state.items()}
    randomize(layer)
    for name, array in state.items():
        np.testing.assert_array_equal(array, before[name])
        assert array.flags.c_contiguous and array.flags.owndata


def test_both_directions_may_be_those_of_keras():
    layer = keras.layers.Bidirectional(GRU(H))
    layer.build((None, None, D))
    assert list(to_torch(layer))[4:] == [
        f"{name}_l0_reverse" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]


# What is refused


def weights_of(stack):
    return np.concatenate([weight.ravel() for layer in stack for weight in layer.get_weights()])


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda state: state.pop("bias_hh_l0"), r"'bias_hh_l0': \(12,\).* Received: (?!.*bias_hh_l0)"),
        (lambda state: state.update(weight_hr_l0=np.ones((2, 3))), r"Received: .*'weight_hr_l0': \(2, 3\)"),
        (lambda state: state.update(weight_ih_l1=np.ones((12, 2))), r"\(12, 3\).* Received: .*_l1': \(12, 2\)"),
        (lambda state: state.update(bias_ih_l1=np.full(12, np.nan)), r"bias_ih_l1 must be finite. Received: nan"),
        (lambda state: state.update(bias_ih_l0=np.full(12, -np.inf)), r"bias_ih_l0 must be finite. Received: -inf"),
        (lambda state: np.put(state["weight_hh_l1"], 7, np.nan), r"weight_hh_l1 must be finite. Received: nan in it"),
    ],
    ids=["missing", "left-over", "shape", "nan", "infinite", "one nan"],
)
def test_weights_that_do_not_fit_are_refused_and_change_nothing(spoil, message):
    stack = stack_of("lstm", depth=2)
    before, state = weights_of(stack), to_torch(*stack_of("lstm", depth=2))
    spoil(state)
    with pytest.raises(ValueError, match=message):
        from_torch(state, *stack)
    np.testing.assert_array_equal(weights_of(stack), before)


REFUSED = {
    "reset before": (lambda: stack_of("gru", reset_after=False), "Received: a GRU with reset_after=False"),
    "activation": (
        lambda: stack_of("lstm", activation="relu"),
        "only tanh, and sigmoid gates. Received: relu, sigmoid",
    ),
    "gate": (lambda: stack_of("gru", recurrent_activation="relu"), "Received: tanh, relu"),
    "other activation": (lambda: stack_of("rnn", activation="elu"), "only tanh or relu, .* Received: elu"),
    "not built": (lambda: [LSTM(H, name="encoder")], "must be built before .* Received: <LSTM name=encoder"),
    "not built, both ways": (lambda: [Bidirectional(LSTM(H))], "must be built before .* Received: <LSTM name=forward"),
    "not ours": (lambda: [keras.layers.GRU(H)], "of this package, or Bidirectional of one. Received: <GRU"),
    "no recurrent layer": (lambda: [keras.layers.Dense(H)], "must hold the SimpleRNN, .* Received: <Dense"),
    "two kinds": (lambda: stack_of("rnn") + stack_of("rnn-relu"), "must be of one kind. Received: .*tanh.*relu"),
    "two sizes": (lambda: stack_of("lstm") + [built(LSTM(4))], "must be of one kind. Received: .*3 units.*4 units"),
    "one both ways": (lambda: stack_of("lstm", 2) + stack_of("lstm"), "All layers and directions .* of one kind"),
}


def built(layer):
    layer.build((None, None, D))
    return layer


@pytest.mark.parametrize("case", REFUSED)
def test_a_stack_that_no_module_of_torch_computes_is_refused(case):
    stack, message = REFUSED[case][0](), REFUSED[case][1]
    with pytest.raises(ValueError, match=message):
        to_torch(*stack)
    with pytest.raises(ValueError, match=message):
        from_torch({}, *stack)


def test_the_adaptive_softmax_is_that_of_torch(torch):
    features, classes, cutoffs = 16, 30, [5, 12]
    head = AdaptiveSoftmaxHead(classes, cutoffs)
    head.build((None, features))
    head.set_weights([np.random.normal(size=weight.shape) for weight in head.get_weights()])
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(features, classes, cutoffs, div_value=4.0, head_bias=True)

    def copy(to, weight):
        to.data = torch.tensor(keras.ops.convert_to_numpy(weight).T)

    copy(theirs.head.weight, head.first.kernel)
    copy(theirs.head.bias, head.first.bias)
    for tail, project, inside in zip(theirs.tail, head.projections, head.tails, strict=True):
        copy(tail[0].weight, project.kernel)
        copy(tail[1].weight, inside.kernel)
        inside.bias.assign(np.zeros(inside.bias.shape))  # torch has none
    h = np.random.normal(size=(60, features)).astype("float32")
    y = np.resize(np.arange(classes), 60)
    expected, _ = theirs(torch.tensor(h), torch.tensor(y))
    np.testing.assert_allclose(head.log_probability(h, y), expected.detach().numpy(), rtol=1e-4, atol=1e-5)
    everything = theirs.log_prob(torch.tensor(h)).detach().numpy()
    np.testing.assert_allclose(head(h), everything, rtol=1e-4, atol=1e-5)
