"""Tables that stand in a page between <!-- NAME --> and <!-- /NAME -->."""

import re


def with_table(page, name, table):
    """The text of a page with a table in the place of the one of that name. Raises a ValueError if there is none."""
    block = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
    page, places = re.subn(block, lambda found: found[1] + table + found[2], page, flags=re.S)
    if places != 1:
        raise ValueError(f"A page must have one table {name!r}. Received: {places}")
    return page
