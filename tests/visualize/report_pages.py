# SPDX-License-Identifier: Apache-2.0
"""Reads a report page as a browser would."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """References, headings and tables of a page; refuses tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references, self.sections, self.tables, self.text = [], [], [], ""
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]
        if tag == "section":
            self.sections.append(dict(attributes)["id"])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data
            if self.tables and self.open[-1] in ("span", "th") and self.tables[-1]:
                self.tables[-1][-1][-1] += data
