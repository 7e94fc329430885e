"""Schedule of samples: often at first, then ever more rarely."""

from __future__ import annotations

_EARLY, _GROWTH, _RAREST = 8, 32, 16
"""The first steps show most faults, and later steps change more slowly. So there are about four samples for
every doubling of the steps, until they are sixteen times as far apart as at first."""
_TRUSTED, _RECHECK = 5, 2
"""The first five samples check whether gradients are zeroed, then every second one. The check takes one more
step, and a loop rarely changes there."""


def next_sample(done: int, every: int, stretch: int = 1) -> int:
    """Returns the step of the next sample.

    Args:
        done: the step that was sampled last; 0 before the first.
        every: steps from sample to sample in the beginning.
        stretch: factor by which samples are rarer, as those kept have filled their memory.

    Example:
        >>> steps = [1]
        >>> while steps[-1] < 1024:
        ...     steps.append(next_sample(steps[-1], every=16))
        >>> steps
        [1, 3, 5, 7, 9, 25, 41, 57, 73, 105, 153, 217, 313, 457, 681, 937, 1193]
    """
    if done < _EARLY:
        return done + 2  # the step between shows whether gradients are zeroed
    return done + every * stretch * min(max(done // _GROWTH, 1), _RAREST)


def checks_stale_gradients(samples: int) -> bool:
    """Tells whether a sample waits for the next backward pass, to see if its gradients are still there.

    Args:
        samples: the number of samples before it.

    Example:
        >>> [number for number in range(20) if checks_stale_gradients(number)]
        [0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18]
    """
    return samples < _TRUSTED or samples % _RECHECK == 0
