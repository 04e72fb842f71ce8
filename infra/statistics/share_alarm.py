"""A sequential alarm for "this happens too often" that also sees what begins late; false alarms are bounded for ever.

Events X_t in {0, 1}, each 1 with probability at most `most` given the past: the null. One bet at each event: with the
likelihood ratio L_t of a higher share against `most`,

    R_t = (R_{t-1} + w_t) L_t,    w_t = 1 / (t (t + 1)),    E_t = R_t + 1 / (t + 1).

The wealth 1 is handed out over all instants at which the trouble may begin, w_t at instant t, and all that was handed
out is bet on. The weights add up to 1, so E_t is a non-negative supermartingale under the null, E_0 = 1, and reaches
1 / alpha with probability at most alpha, over all time (Ville). It is the Shiryaev-Roberts procedure with a prior
on the change, as an e-process: Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change
detection", NEJSDS 2024. What begins at event n costs about 2 ln n nats more than what is there from the start.

Two alternatives share the wealth: three times the limit, and half-way between the limit and 1.
"""

CEILING = 1e15
"""Wealth kept at most: what is above it is thrown away, which keeps the supermartingale one."""


class ShareAlarm:
    """The wealth of the bet that a share is larger than `most`, in (0, 1)."""

    __slots__ = ("_factors", "_seen", "_wealth")

    def __init__(self, most: float) -> None:
        self._seen = 0
        higher = (min(3 * most, (1 + most) / 2), (1 + most) / 2)
        # (L of an event, L of none) of both alternatives
        self._factors = [(share / most, (1 - share) / (1 - most)) for share in higher]
        self._wealth = (0.0, 0.0)

    def observe(self, happened: bool) -> None:
        """One more event."""
        self._seen = seen = self._seen + 1
        weight = 1.0 / (seen * (seen + 1))
        place = 0 if happened else 1
        (few, many), (first, second) = self._wealth, self._factors
        few = (few + weight) * first[place]
        many = (many + weight) * second[place]
        self._wealth = (few if few < CEILING else CEILING, many if many < CEILING else CEILING)

    @property
    def seen(self) -> int:
        """Events so far."""
        return self._seen

    @property
    def e_value(self) -> float:
        """Evidence against "the share is at most `most`", 1 at the start; at 1 / alpha the alarm has level alpha."""
        return sum(self._wealth) / len(self._wealth) + 1.0 / (self._seen + 1)
