"""Whether a draft pays, and how long it should be: from what was measured so far, times and acceptance.

A pass over a draft of k tokens gives 1 + (accepted) tokens in the time of pass(k); a plain step gives one. So the gain
is expected tokens · plain seconds / pass seconds, and where it is not above 1 there is no draft. Drafts of few tokens
don't exist: two rows take as long as nine. A pass of SmolLM2-135M in fp32 on two cores took 43 ms with one row, 48 with
two, 47 with nine, 65 with sixteen and 83 with 32 where its layers are packed (nn/packed.py); 58, 97, 84, 91 and 117
where not.
"""

from __future__ import annotations

from collections import deque

LENGTHS = (8, 15, 31)  # tokens; with the one before them 9, 16 and 32 rows
LEAST_GAIN = 1.05  # above 1, for both factors are estimates
# Of a pass, in plain steps: measured ones scale the others until these are measured too.
USUAL_COST = {8: 1.1, 15: 1.5, 31: 1.9}
KEPT = 9  # last measurements of a time; their lower median leaves out what another process took
FIRST_PLAIN = 2  # steps without draft at the beginning, to know what a plain one takes
PLAIN_EVERY = 16  # passes after which one plain step is measured anew: contexts grow and other work comes and goes
TRIALS = 2  # of the shortest draft, whatever it may bring, to know what a pass takes on this machine
TRIAL_EVERY = 256  # plain steps after which one more is tried
# Share of a draft's first tokens that are accepted, by bits of the match length (0, 1, 2–3, 4–7, 8–15, 16–31, 32 and
# more). A guess until measured: what is not drafted is measured too, at no cost. Up to 15 as SmolLM2-135M's own greedy
# continuations of 24 held-out Python files gave it (.17, .19, .35, .49); longer ones were too few to say.
USUAL_SHARE = (0.0, 0.15, 0.2, 0.35, 0.5, 0.7, 0.85)
SHARE_WEIGHT = 8.0  # tokens that the guess counts for
FORGET = 1 - 1 / 128  # for each token seen: a text changes its ways


class Costs:
    """Seconds of forward passes, as last measured; a generator keeps them from one text to the next."""

    def __init__(self) -> None:
        self._plain: deque[float] = deque(maxlen=KEPT)
        self._passes: dict[int, deque[float]] = {length: deque(maxlen=KEPT) for length in LENGTHS}
        self._since_plain = self._since_pass = 0

    def took(self, drafted: int, seconds: float) -> None:
        """A forward pass with that many drafted tokens, 0 or one of LENGTHS."""
        self._since_plain, self._since_pass = (self._since_plain + 1, 0) if drafted else (0, self._since_pass + 1)
        (self._passes[drafted] if drafted else self._plain).append(seconds)

    @property
    def wants_plain(self) -> bool:
        return len(self._plain) < FIRST_PLAIN or self._since_plain >= PLAIN_EVERY

    @property
    def wants_trial(self) -> bool:
        return len(self._passes[LENGTHS[0]]) < TRIALS or self._since_pass >= TRIAL_EVERY

    def cost(self, drafted: int) -> float:
        """Of a pass, in plain steps. There must be a plain one."""
        plain, times = _lower_median(self._plain), list(self._passes[drafted])
        if len(times) < TRIALS:
            known = [length for length in LENGTHS if length != drafted and self._passes[length]]
            nearest = min(known, key=lambda length: abs(length - drafted), default=None)
            scale = plain if nearest is None else _lower_median(self._passes[nearest]) / USUAL_COST[nearest]
            times.append(USUAL_COST[drafted] * scale)
        return _lower_median(times) / plain


class Gain:
    """What drafts bring in one text: running estimates of acceptance, by match length and place in the draft.

    Acceptance is of a token whose predecessors in the draft were all accepted: it rises with the place, since a text
    that has copied 15 tokens goes on copying. So places count in groups, as the lengths divide them.
    """

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._shares = [[_Share.usual(bits, group) for group in range(len(LENGTHS))] for bits in range(MOST_BITS + 1)]

    def judged(self, match_length: int, place: int, accepted: bool) -> None:
        """A draft's token at `place` (0 first) met the one chosen. match_length: when it was drafted."""
        self._shares[_bits(match_length)][_group(place)].see(accepted)

    def expected_tokens(self, match_length: int, drafted: int) -> float:
        """Of a pass: the accepted ones and the one that follows them."""
        tokens = alive = 1.0
        for place in range(drafted):
            alive *= self._shares[_bits(match_length)][_group(place)].value
            tokens += alive
        return tokens

    def best(self, match_length: int, most: int) -> int:
        """The length in LENGTHS, of at most `most`, that gains most; 0 where none does."""
        if self._costs.wants_plain or match_length < 1 or most < LENGTHS[0]:
            return 0
        if self._costs.wants_trial:
            return LENGTHS[0]
        gains = {
            length: self.expected_tokens(match_length, length) / self._costs.cost(length)
            for length in LENGTHS
            if length <= most
        }
        best = max(gains, key=gains.__getitem__)
        return best if gains[best] > LEAST_GAIN else 0


MOST_BITS = len(USUAL_SHARE) - 1


class _Share:
    """A share of successes with a guess to begin with, that forgets."""

    def __init__(self, value: float) -> None:
        self._good, self._all = value * SHARE_WEIGHT, SHARE_WEIGHT

    @classmethod
    def usual(cls, bits: int, group: int) -> _Share:
        return cls(1 - (1 - USUAL_SHARE[bits]) / 2**group)

    @property
    def value(self) -> float:
        return self._good / self._all

    def see(self, good: bool) -> None:
        self._good, self._all = self._good * FORGET + good, self._all * FORGET + 1


def _bits(match_length: int) -> int:
    return min(match_length.bit_length(), MOST_BITS)


def _group(place: int) -> int:
    return min(sum(length <= place for length in LENGTHS), len(LENGTHS) - 1)


def _lower_median(values: deque[float] | list[float]) -> float:
    # A clock that stands still must not divide by zero.
    return max(sorted(values)[(len(values) - 1) // 2], 1e-9)
