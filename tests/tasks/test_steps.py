import random
import re

from firesteel.tasks import steps


def test_sums_and_differences_by_column():
    assert steps.plus(35, 27) == "35+27: 5+7=12, 3+2+1=6, 62"
    assert steps.plus(4, 9) == "4+9=13"
    assert steps.plus(7, 95) == "7+95: 7+5=12, 9+1=10, 102"
    assert steps.minus(32, 17) == "32-17: 12-7=5, 3-1-1=1, 15"
    assert steps.minus(12, 7) == "12-7=5"
    assert steps.minus(100, 37) == "100-37: 10-7=3, 10-3-1=6, 1-1=0, 63"


def test_every_equation_holds_and_the_result_is_last():
    rng = random.Random(1)
    for _ in range(2000):
        a, b = sorted((rng.randrange(1000), rng.randrange(1000)), reverse=True)
        for text, result in ((steps.plus(a, b), a + b), (steps.minus(a, b), a - b)):
            for left, right in re.findall(r"([\d+-]+)=(\d+)", text):
                assert sum(map(int, re.findall(r"[+-]?\d+", left))) == int(right)
            assert re.findall(r"\d+", text)[-1] == str(result)


def test_total_adds_one_after_another():
    assert steps.total([5, 4, 20]) == "5+4=9. 9+20: 9+0=9, 2=2, 29".replace("2=2", "2")


def test_bare_leaves_the_columns():
    assert steps.bare(f"{steps.plus(35, 27)}. {steps.minus(62, 8)}. 4+3=7") == (
        "5+7=12, 3+2+1=6, 62. 12-8=4, 6-1=5, 54. 4+3=7"
    )


def test_winner_keeps_the_best_so_far():
    items = [("A", 12), ("B", 7), ("C", 35)]
    assert steps.winner(items) == "A 12 > B 7. A 12 < C 35"
    assert steps.winner(items, largest=False) == "A 12 > B 7. B 7 < C 35"
    assert steps.reading(items) == "A 12, B 7, C 35"
