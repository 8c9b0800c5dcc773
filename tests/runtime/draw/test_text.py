"""Text within a width, in any script."""

from runtime.draw.text import fit, text_width, wrap


def test_text_is_made_smaller_and_then_truncated() -> None:
    text, size = fit("surprise 0.98", 30, 1000)
    assert (text, size) == ("surprise 0.98", 30)
    text, size = fit("surprise 0.98", 30, 110)
    assert text == "surprise 0.98"
    assert size < 30
    text, size = fit("surprise 0.98" * 9, 30, 110)
    assert size == 12
    assert text.endswith("…")
    assert text_width(text, size) <= 110
    assert fit("anything", 30, 2) == ("", 12)


def test_wrapped_lines_stay_within_the_width() -> None:
    words = "a few words and one_that_is_longer_than_any_line_can_be_in_this_picture then more"
    lines = list(wrap(words, 20, 200))
    assert len(lines) == 3
    assert all(text_width(line, 20) <= 200 for line in lines)
    assert " ".join(lines).startswith("a few words and")
    assert " ".join(lines).endswith("then more")


def test_control_characters_are_removed_and_scripts_kept() -> None:
    text, _ = fit("Überraschung\n\x1b[31m 驚き", 20, 1000)
    assert text == "Überraschung [31m 驚き"
