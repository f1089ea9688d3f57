"""How a Keras model is called: what it reads, and what it and its layers give."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras import Variable, config, tree

from dftlrp.core.identity import ROUND_OFF, allow_deviation, find_difference
from dftlrp.core.types import AnyArray, InputError, ModelError
from dftlrp.frameworks.exported import Call

from .keras_layers import Keras, blamed, find_paths, recorded

EXAMPLE, NUMBERS, BATCH = "the example", "other numbers", "another batch size"  # the calls made
LENGTHS = (16, 64, 256, 1024, 4096)  # of axes that a model leaves open, where it runs on nothing
Arrays = dict[str, AnyArray]
GIVE = "give an example, batch first: dftlrp.load(model, example=x)"


class Inputs(NamedTuple):
    """What a model reads.

    Attributes
    ----------
    specs : structure of tensorflow.TensorSpec
        As the model is called with it; axes of any length are None.
    example : dict of str to array
        By the specs' names; empty where none is given that fits them.
    """

    specs: Any
    example: Arrays

    @property
    def flat(self) -> list[Any]:
        """The specs in the order of the model's inputs."""
        return list(tree.flatten(self.specs))


def read_inputs(model: Keras, example: Any) -> Inputs:
    """Return what a model reads, as it declares it or else as an example is.

    Raises
    ------
    InputError
        It does not declare what it reads, and no example is given.
    """
    if declared := getattr(model, "inputs", None):
        flat = [
            tf.TensorSpec(x.shape, x.dtype, _name_input(x.name, i)) for i, x in enumerate(declared)
        ]
        specs = tree.pack_sequence_as(getattr(model, "_inputs_struct", declared[0]), flat)
        return Inputs(specs, _fit_example(flat, example))
    if example is None:
        raise InputError(f"{model.name} does not say what it reads: {GIVE}")
    if isinstance(example, Mapping):
        specs = {name: _make_spec(x, name) for name, x in example.items()}
    elif isinstance(example, list | tuple):
        specs = [_make_spec(x, _name_input("", i)) for i, x in enumerate(example)]
    else:
        specs = _make_spec(example, "input")
    return Inputs(specs, _fit_example(tree.flatten(specs), example))


def _make_spec(x: Any, name: str) -> Any:
    """Return the spec of an example, of any batch size; floats in Keras' own dtype."""
    array = np.asarray(x)
    dtype = array.dtype if array.dtype.kind in "iub" else config.floatx()
    return tf.TensorSpec((None, *array.shape[1:]), dtype, name)


def _name_input(name: str, place: int) -> str:
    """Return the name of an input; Keras numbers those without one through the whole session."""
    own = name and not name.startswith("keras_tensor")
    return name if own else f"input_{place}" if place else "input"


def _fit_example(specs: list[Any], example: Any) -> Arrays:
    """Return an example by the specs' names, if it fits them."""
    if isinstance(example, Mapping):
        same = set(example) == {s.name for s in specs}
        given = [example[s.name] for s in specs] if same else list(example.values())
    else:
        given = list(example) if isinstance(example, list | tuple) else [example]
    arrays = [np.asarray(x) for x in given if x is not None]
    fits = len(arrays) == len(specs) and all(
        s.shape.is_compatible_with(a.shape) and a.dtype.kind in "fiub"
        for s, a in zip(specs, arrays, strict=True)
    )
    pairs = zip(specs, arrays, strict=False) if fits else ()
    return {s.name: a.astype(s.dtype.as_numpy_dtype) for s, a in pairs}


# -- the model's own calls


def call_model(model: Keras, inputs: Inputs) -> dict[str, Call]:
    """Return calls at the example (or at noise), at other numbers, and with one sample more.

    The last two are left out where the model does not run on them, or may not be asked to.  The
    model's variables are left as they were.

    Raises
    ------
    InputError
        The model does not run.
    ModelError
        Its output depends on earlier calls or on random numbers.
    """
    before = [(v, v.numpy()) for v in _find_variables(model)]
    try:
        first = _call_example(model, inputs)
        changed = [v.path for v, a in before if not np.array_equal(v.numpy(), a, equal_nan=True)]
        again = _call_once(model, inputs.specs, first.inputs)
        _compare_again(model, first, again, changed)
        calls, random = {EXAMPLE: first}, np.random.default_rng(0)
        others = {NUMBERS: {k: _change_numbers(a, random) for k, a in first.inputs.items()}}
        if all(s.shape.rank and s.shape[0] is None for s in inputs.flat):
            others[BATCH] = {k: np.concatenate([a, a[:1]]) for k, a in first.inputs.items()}
        for name, given in others.items():
            _put_back(before)
            try:
                calls[name] = _call_once(model, inputs.specs, given)
            except InputError:
                continue
        return calls
    finally:
        _put_back(before)


def _find_variables(model: Keras) -> list[Any]:
    """Return all variables, also those that Keras does not list, as the states of a cell."""
    found = dict[int, Any]()
    for part in (model, *find_paths(model)):
        kept = [*part.variables, *tree.flatten(getattr(part, "states", None))]
        found |= {id(v): v for v in kept if isinstance(v, Variable)}
    return list(found.values())


def _put_back(before: list[tuple[Any, AnyArray]]) -> None:
    for variable, array in before:
        if not np.array_equal(variable.numpy(), array, equal_nan=True):
            variable.assign(array)


def _call_example(model: Keras, inputs: Inputs) -> Call:
    """Call the model on the example, or else on the first noise on which it gives numbers."""
    if inputs.example:
        return _call_once(model, inputs.specs, inputs.example)
    told = "it gives numbers that are not finite"
    for given in _make_noise(inputs.flat):
        try:
            call = _call_once(model, inputs.specs, given)
        except InputError as error:
            told = str(error)
        else:
            if all(np.isfinite(a).all() for a in call.outputs.values()):
                return call
    raise InputError(
        f"{model.name} was called on noise, to compare its graph with it: {told}: {GIVE}"
    )


def _make_noise(specs: list[Any]) -> Iterator[Arrays]:
    """Yield inputs of two samples: noise, then positive noise, longer and longer."""
    for spec in specs:
        numbers = spec.dtype.is_floating or spec.dtype.is_integer or spec.dtype == tf.bool
        if spec.shape.rank is None or not numbers:
            raise InputError(f"input {spec.name!r} has no shape or no numbers ({spec.dtype.name})")
    random = np.random.default_rng(0)
    open_axes = any(n is None for s in specs for n in s.shape[1:])
    for length in LENGTHS if open_axes else LENGTHS[:1]:
        made = {
            s.name: _draw(random, [n or (length if i else 2) for i, n in enumerate(s.shape)], s)
            for s in specs
        }
        yield made
        yield {k: np.abs(a) if a.dtype.kind == "f" else a for k, a in made.items()}


def _draw(random: np.random.Generator, shape: list[int], spec: Any) -> AnyArray:
    """Return noise; whole numbers are 0 and 1, which every table has."""
    if spec.dtype.is_floating:
        return random.normal(size=shape).astype(spec.dtype.as_numpy_dtype)
    return random.integers(0, 2, shape).astype(spec.dtype.as_numpy_dtype)


def _change_numbers(x: AnyArray, random: np.random.Generator) -> AnyArray:
    """Return other numbers in about the same range: shuffled, and floats scaled; truths stay."""
    if x.dtype.kind == "b" or not x.ndim:
        return x
    shuffled = random.permutation(x.ravel()).reshape(x.shape)
    return (
        shuffled
        if x.dtype.kind != "f"
        else (shuffled * random.uniform(0.5, 1.5, x.shape)).astype(x.dtype)
    )


def _call_once(model: Keras, specs: Any, given: Mapping[str, AnyArray]) -> Call:
    """Call the model as it infers.

    Raises
    ------
    InputError
        It does not run.
    ModelError
        It gives something else than real numbers.
    """
    tensors = [tf.constant(a) for a in given.values()]
    with recorded(model) as parts, blamed(model) as failed:
        try:
            y = model(tree.pack_sequence_as(specs, tensors), training=False)
        except Exception as error:
            shapes = ", ".join(f"{k} {a.shape}" for k, a in given.items())
            where = f" in its layer {failed[0]!r}" if failed else ""
            raise InputError(
                f"{model.name} does not run on {shapes}{where}: {word_keras_error(error)}"
            ) from error
    flat = tree.flatten(y)
    outputs = dict(zip(name_outputs(y, len(flat)), flat, strict=True))
    for name, t in outputs.items():
        if not tf.is_tensor(t) or isinstance(t, tf.RaggedTensor | tf.SparseTensor):
            raise ModelError(
                f"{model.name}: its output {name!r} is a {type(t).__name__}: give a tensor"
            )
        if t.dtype.is_complex:
            raise ModelError(
                f"{model.name}: its output {name!r} is complex: give its magnitude or its real part"
            )
    within = {k: t for k, t in parts.items() if t.dtype.is_floating or t.dtype.is_complex}
    made, inner = ({k: _as_array(t) for k, t in x.items()} for x in (outputs, within))
    return Call(given, made, inner, find_coarsest(model))


def _as_array(t: Any) -> AnyArray:
    """Return a tensor as an array; a complex one as pairs of numbers on a further axis."""
    if t.dtype.is_complex:
        t = tf.stack([tf.math.real(t), tf.math.imag(t)], -1)
    array: AnyArray = (tf.cast(t, tf.float32) if t.dtype == tf.bfloat16 else t).numpy()
    return array


def find_coarsest(model: Keras) -> str:
    """Return the coarsest dtype that a layer of the model computes in."""
    dtypes = [str(part.compute_dtype) for part in (model, *find_paths(model))]
    return max((d for d in dtypes if d in ROUND_OFF), key=ROUND_OFF.__getitem__, default="float32")


def name_outputs(y: Any, count: int) -> list[str]:
    """Return the names of the outputs in their flat order: the keys of a dict, or by number."""
    if isinstance(y, Mapping) and len(y) == count:
        return sorted(map(str, y))
    return [f"output.{i}" for i in range(count)] if count > 1 else ["output"]


def _compare_again(model: Keras, one: Call, two: Call, changed: list[str]) -> None:
    """Refuse a model that gives something else when it is called again on the same inputs.

    Where the first call changed a variable, the two must be equal to the last bit.
    """
    allowed = 0.0 if changed else allow_deviation(one.dtype)
    if find_difference(two.outputs, one.outputs, allowed) is None:
        return
    part = find_difference(two.parts, one.parts, allowed)
    where = f" in its layer {part.name!r}" if part else ""
    kept = ", ".join(map(repr, changed[:8]))
    if changed:
        told = f"keeps {kept} from call to call, and its output depends on that: make it stateless"
    else:
        told = f"gives something else at each call{where}: make it depend on its inputs alone"
    raise ModelError(f"{model.name} {told}, for one graph explains one function")


def word_keras_error(error: BaseException) -> str:
    """Return an error of Keras as one short line; it writes in bold."""
    text = re.sub(r"\x1b\[\d*m", "", f"{type(error).__name__}: {error}")
    return " ".join(text.split())[:300]
