import pytest
from espnet_llmasr.metrics.hallucination import is_hallucination, wilson_interval


@pytest.mark.parametrize(
    "reference, hypothesis, expected",
    [
        ("a b", "x y z", False),
        ("a b", "x y z w", True),
        ("a b", "x a y b z", False),
        ("a b", "x y z a b", False),
        ("a b", "a a a a a a", False),
        ("a", "x y", True),
        ("", "x", True),
        ("", "", False),
        ("a b", "", False),
    ],
)
def test_rule_of_section_4_3(reference, hypothesis, expected):
    assert is_hallucination(reference.split(), hypothesis.split()) is expected


def test_exactly_one_and_a_half_times_is_not_longer():
    assert not is_hallucination(["a"] * 4, ["x"] * 6)
    assert is_hallucination(["a"] * 4, ["x"] * 7)


def test_wilson_interval_of_the_papers_english_sets():
    """One hit in 14,721 utterances is 0.001-0.039 %, two are 0.004-0.050 %."""
    assert [round(100 * x, 3) for x in wilson_interval(1, 14721)] == [0.001, 0.038]
    assert [round(100 * x, 3) for x in wilson_interval(2, 14721)] == [0.004, 0.050]


def test_wilson_interval_solves_its_equation():
    """Both ends p satisfy |hits / n - p| = z sqrt(p (1 - p) / n)."""
    for hits, total in ((0, 10), (3, 10), (50, 100), (10, 10)):
        for p in wilson_interval(hits, total, z=1.96):
            assert abs(hits / total - p) == pytest.approx(1.96 * (p * (1 - p) / total) ** 0.5, abs=1e-7)


def test_wilson_interval_edges():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 hits of 2"):
        wilson_interval(3, 2)
