"""What counts as silence: only time in which the one who judges it was looking."""

from hypothesis import given
from hypothesis import strategies as st

from model_runtime.attention import Attention

PERIOD_S = 0.5


@given(st.lists(st.floats(0.0, 100.0), max_size=30))
def test_time_without_a_look_is_missed_and_no_other(gaps_s):
    """Looks a period apart, or twice that, miss nothing; later ones miss what is beyond."""
    now_s = 1000.0
    attention = Attention(lambda: now_s, PERIOD_S)
    for gap_s in gaps_s:
        before_s = now_s
        now_s += gap_s
        late_s = now_s - before_s - PERIOD_S
        assert attention.missed_s() == (late_s if late_s > PERIOD_S else 0.0)
