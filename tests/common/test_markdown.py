"""Markdown tables, by hand."""

from avbook.common.markdown import markdown_table


def test_numbers_are_set_to_the_right():
    table = markdown_table(("what", "how many"), [("clips", 4143), ("videos", 1)], right=[1])
    assert table == "| what | how many |\n|:--|--:|\n| clips | 4143 |\n| videos | 1 |"
