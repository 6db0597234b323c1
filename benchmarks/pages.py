"""Tables that stand in a page between <!-- NAME --> and <!-- /NAME -->."""

import re


def with_table(page, name, table):
    """The text of a page with a table in the place of the one of that name. Raises a ValueError if there is none."""
    block = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
    page, places = re.subn(block, lambda found: found[1] + table + found[2], page, flags=re.S)
    if places != 1:
        raise ValueError(f"A page must have one table {name!r}. Received: {places}")
    return page


def with_tables(page, tables):
    """The text of a page with several tables in their places, by their names."""
    for name, table in tables.items():
        page = with_table(page, name, table)
    return page
