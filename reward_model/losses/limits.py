"""How hard each loss pulls: the limits of dL/dz and a bound on |dL/dz|, as functions of its parameters. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from reward_model.losses.mixed import huber_bt_gradient_bound
from reward_model.losses.parameters import InvalidLoss, NoiseParameters


@dataclass(frozen=True)
class GradientLimits:
    """dL/dz as z -> -inf (the record looks hopeless) and z -> +inf, and the least upper bound of |dL/dz| over z, or a
    bound where `tight` is False."""

    hopeless: float
    certain: float
    bound: float
    tight: bool = True


def _label_smoothed(noise: NoiseParameters) -> GradientLimits:
    e = noise.one_flip_rate
    return GradientLimits(-(1.0 - e), e, 1.0 - e)


def _rdpo(noise: NoiseParameters) -> GradientLimits:
    e = noise.one_flip_rate
    return GradientLimits(-(1.0 - e) / (1.0 - 2.0 * e), -e / (1.0 - 2.0 * e), (1.0 - e) / (1.0 - 2.0 * e))


def _forward_corrected(noise: NoiseParameters) -> GradientLimits:
    e = noise.one_flip_rate
    return GradientLimits(-1.0 if e == 0.0 else 0.0, 0.0, huber_bt_gradient_bound(e))


def _huber_bt(noise: NoiseParameters) -> GradientLimits:
    return GradientLimits(0.0, 0.0, huber_bt_gradient_bound(noise.one_flip_rate), tight=False)


def _phuber(noise: NoiseParameters) -> GradientLimits:
    t = noise.threshold
    return GradientLimits(0.0, 0.0, 1.0 - 1.0 / t if t >= 2.0 else t / 4.0)


def _gce(noise: NoiseParameters) -> GradientLimits:
    q = noise.exponent
    return GradientLimits(0.0, 0.0, (q / (1.0 + q)) ** q / (1.0 + q))


def _ropo(noise: NoiseParameters) -> GradientLimits:
    a = noise.ropo_alpha
    far = 4.0 * a / (1.0 + a) ** 2
    return GradientLimits(-far, 0.0, 1.0 if a >= 1.0 else far)


def _huber_of_loss(noise: NoiseParameters) -> GradientLimits:
    return GradientLimits(-noise.huber_delta, 0.0, noise.huber_delta)


_LIMITS: Mapping[str, Callable[[NoiseParameters], GradientLimits]] = MappingProxyType(
    {
        "bt": lambda _noise: GradientLimits(-1.0, 0.0, 1.0),
        "forward_corrected": _forward_corrected,
        "gce": _gce,
        "huber_bt": _huber_bt,
        "huber_of_loss": _huber_of_loss,
        "label_smoothed": _label_smoothed,
        "modified_huber": lambda _noise: GradientLimits(-4.0, 0.0, 4.0),
        "phuber": _phuber,
        "rao_kupper": lambda _noise: GradientLimits(-1.0, 0.0, 1.0),
        "rdpo": _rdpo,
        "repo_em": _forward_corrected,
        "ropo": _ropo,
        "sigmoid": lambda _noise: GradientLimits(0.0, 0.0, 0.25),
        "truncated_hinge": lambda _noise: GradientLimits(0.0, 0.0, 1.0),
        "vrpo": lambda _noise: GradientLimits(-1.0, 0.0, 1.0),
    }
)


def gradient_limits(name: str, noise: NoiseParameters) -> GradientLimits:
    """The limits of the loss called `name`. Raises InvalidLoss for an unknown name or a flip rate per row.

    Of `repo_em` without a posterior and with h = 1 - e; of `vrpo` the mean of a recorded and a reference pair at one
    margin, whatever the auxiliary.
    """
    try:
        return _LIMITS[name](noise)
    except KeyError:
        raise InvalidLoss(f"no loss is called {name!r}; known: {', '.join(sorted(_LIMITS))}", field="loss") from None
