"""What every sharing scheme must keep, as a check that the author of one can run: `check_sharing(MyScheme())`."""

import copy
import pickle

import torch
from torch import Tensor

from shiftaddnas.ops import OPERATORS, KernelOperator, KernelShape
from shiftaddnas.sharing import SlotKernels, WeightSharing

_SHAPES: dict[str, KernelShape] = {"conv1": (8, 16, 1, 1), "conv2": (8, 8, 3, 3), "depthwise": (8, 1, 3, 3)}


def check_sharing(sharing: WeightSharing) -> None:
    """Raise an AssertionError that names the contract, if the scheme breaks one.

    Tried with all shipped operators together, and with each alone.
    """
    assert sharing.name, "a scheme has a name"
    assert pickle.loads(pickle.dumps(sharing)) == sharing, "a scheme is a plain value: pickling returns an equal"
    assert sharing.divergence_weight >= 0, "divergence_weight is 0 or more"
    everything = {name: operator() for name, operator in OPERATORS.items()}
    for operators in (everything, *({name: operator} for name, operator in everything.items())):
        _check_slot(sharing, operators)
    if sharing.divergence_weight > 0:
        slot = _slot(sharing, everything)
        terms = [slot.divergence(operator, kernel) for operator in everything for kernel in _SHAPES]
        assert any(term is not None for term in terms), "a scheme with a divergence_weight has divergences"


def _slot(sharing: WeightSharing, operators: dict[str, KernelOperator], seed: int = 1) -> SlotKernels:
    return sharing.slot(operators, _SHAPES, torch.Generator().manual_seed(seed))


def _check_slot(sharing: WeightSharing, operators: dict[str, KernelOperator]) -> None:
    state = torch.get_rng_state()
    slot, again, other = _slot(sharing, operators), _slot(sharing, operators), _slot(sharing, operators, seed=2)
    assert torch.equal(state, torch.get_rng_state()), "slot(..., generator) draws from the generator only"
    kernels = _all_weights(slot, operators)
    assert dict(slot.operators) == operators, "the slot's operators are those that it was made for"
    assert sorted(slot.names()) == sorted(kernels), "names() has every operator with every kernel, once"
    assert _equal(kernels, _all_weights(again, operators)), "slot() is deterministic under its generator"
    assert not _equal(kernels, _all_weights(other, operators)), "slot() depends on its generator"
    _check_weights(kernels, operators)
    _check_state(slot, other, operators)
    for operator in operators:
        _check_divergence(slot, operator)
        _check_gradients(slot, operator)
        _check_parameters_of(slot, operator, operators)


def _all_weights(slot: SlotKernels, operators: dict[str, KernelOperator]) -> dict[tuple[str, str], tuple[Tensor, ...]]:
    return {(operator, kernel): slot.weights(operator, kernel) for operator in operators for kernel in _SHAPES}


def _equal(first: dict[tuple[str, str], tuple[Tensor, ...]], second: dict[tuple[str, str], tuple[Tensor, ...]]) -> bool:
    return all(torch.equal(a, b) for key in first for a, b in zip(first[key], second[key], strict=True))


def _check_weights(kernels: dict[tuple[str, str], tuple[Tensor, ...]], operators: dict[str, KernelOperator]) -> None:
    for (operator, kernel), tensors in kernels.items():
        assert len(tensors) == operators[operator].num_tensors, f"{operator} gets the number of tensors that it takes"
        for tensor in tensors:
            assert tensor.shape == _SHAPES[kernel], f"the tensors of {kernel} have its shape"
            assert tensor.isfinite().all(), f"the tensors of {kernel} are finite"


def _check_state(slot: SlotKernels, other: SlotKernels, operators: dict[str, KernelOperator]) -> None:
    pointers = [parameter.data_ptr() for parameter in slot.state_dict(keep_vars=True).values() if parameter.numel()]
    assert len(pointers) == len(set(pointers)), "a shared parameter stands in the state_dict once"
    owned = {id(parameter) for parameter in slot.parameters()}
    reached = {id(parameter) for operator in operators for parameter in slot.parameters_of(operator)}
    assert reached == owned, "parameters_of() of all operators together are the slot's parameters"
    loaded = copy.deepcopy(other)
    loaded.load_state_dict(slot.state_dict())
    kernels = _all_weights(slot, operators)
    assert _equal(kernels, _all_weights(loaded, operators)), "the state_dict of a slot restores its kernels"


def _check_divergence(slot: SlotKernels, operator: str) -> None:
    for kernel in _SHAPES:
        divergence = slot.divergence(operator, kernel)
        if divergence is not None:
            assert divergence.shape == (), f"the divergence of {operator}'s {kernel} is a scalar"
            assert divergence.item() >= 0, f"the divergence of {operator}'s {kernel} is finite and not negative"
            assert divergence.requires_grad, f"the divergence of {operator}'s {kernel} has a gradient"


def _check_gradients(slot: SlotKernels, operator: str) -> None:
    slot.zero_grad(set_to_none=True)
    generator = torch.Generator().manual_seed(4)
    for kernel in _SHAPES:
        for tensor in slot.weights(operator, kernel):
            torch.autograd.backward(tensor, torch.randn(tensor.shape, generator=generator))
    own = {id(parameter) for parameter in slot.parameters_of(operator)}
    for name, parameter in slot.named_parameters():
        if id(parameter) in own:
            assert parameter.grad is not None, f"the gradient of {operator}'s kernels reaches {name}"
            assert parameter.grad.any(), f"the gradient that {operator}'s kernels send to {name} is not zero"
        else:
            assert parameter.grad is None, f"{operator}'s kernels leave the gradient of {name} None"


def _check_parameters_of(slot: SlotKernels, operator: str, operators: dict[str, KernelOperator]) -> None:
    listed = [id(parameter) for parameter in slot.parameters_of(operator)]
    assert len(listed) == len(set(listed)), f"parameters_of({operator}) lists each parameter once"
    before = _all_weights(slot, {operator: operators[operator]})
    for index, name in enumerate(name for name, _ in slot.named_parameters()):
        changed = copy.deepcopy(slot)
        noise = torch.Generator().manual_seed(index)
        with torch.no_grad():
            parameter = changed.get_parameter(name)
            parameter.add_(torch.randn(parameter.shape, generator=noise))
        same = _equal(before, _all_weights(changed, {operator: operators[operator]}))
        if id(slot.get_parameter(name)) in listed:
            assert not same, f"parameters_of({operator}) has {name}, on which its kernels do not depend"
        else:
            assert same, f"parameters_of({operator}) lacks {name}, on which its kernels depend"
