"""Tables as text."""

from vitrail.bench.core.tables import markdown_table, text_table


def test_columns_are_aligned() -> None:
    assert text_table([("", "speed", "on"), ("ours", "1.5", "a"), ("b", "10.25", "")]) == (
        "      speed  on\nours    1.5  a\nb     10.25"
    )


def test_markdown_tables_have_a_rule_below_the_head() -> None:
    assert markdown_table([["", "a"], ["b", "1"]]) == "|  | a |\n| --- | --- |\n| b | 1 |"
