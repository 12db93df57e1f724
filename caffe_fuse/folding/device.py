"""The device for which a net is judged, as a caller names it: a target, or a half policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from ..argument_types import NAME, expect
from ..errors import InputError
from ..half.targets import policy_of

if TYPE_CHECKING:
    from ..half.rounding import HalfPolicy
    from ..targets import Target


class Device(NamedTuple):
    """target: None if only a policy is given, or neither, which is IEEE 754's."""

    target: Optional[Target]
    policy: HalfPolicy


def device(half_policy: Union[str, HalfPolicy, None], target: Optional[str]) -> Device:
    """Raises InputError for an unknown name, and if both are given; TypeError for a wrong type."""
    expect(NAME.or_none(), target=target)
    if target is None:
        return Device(None, policy_of("ieee" if half_policy is None else half_policy))
    if half_policy is not None:
        raise InputError("half_policy and target are given together", remedy="a target has its own half policy")
    from ..targets import find  # only here: few name a target

    found = find(target)
    return Device(found, policy_of(found.policy))
