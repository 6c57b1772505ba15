import pytest

from firesteel.server.messages.thoughts import sign, thought_of


def test_an_omitted_thought_comes_back_from_its_signature():
    assert thought_of("", sign("2 and ÄÖ", "omitted")) == "2 and ÄÖ"


def test_a_thought_that_was_shown_is_its_text():
    assert thought_of("2 and 2", sign("2 and 2", "shown")) == "2 and 2"


@pytest.mark.parametrize("signature", ["", ".", "EqQBCgIYAhIM1gbcDa9GJwZA2b3h", "Mg==.00", "ä.ö", "Mg==.ö"])
def test_a_foreign_signature_leaves_the_text(signature):
    assert thought_of("a thought", signature) == "a thought"


def test_a_signature_that_was_changed_carries_nothing():
    carried, _, mark = sign("2", "omitted").partition(".")
    assert thought_of("", f"{carried[:-4]}Mw==.{mark}") == ""
