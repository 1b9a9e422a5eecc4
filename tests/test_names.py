# SPDX-License-Identifier: Apache-2.0
"""Names are seen, and give files names of their own."""

import itertools
import unicodedata

from odd_names import ODD

from monai_cl_ext.names import LONGEST, file_name, first_names, visible, well_formed


def test_every_character_is_seen():
    for name in ODD:
        shown = visible(name)
        assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}, name
        assert "\u202e" not in shown and visible(shown) == shown
        shown.encode("utf-8")
    assert visible("two\nlines\x1b\udce9\u2028") == r"two\nlines\x1b\udce9\u2028"
    for name in ("Müller", "日本語", r"back\slash", "a\u200db", "no break\u00a0space", "$x"):
        assert visible(name) == name


def test_many_names_are_counted():
    assert first_names(["a", "b"]) == "a, b" and first_names([]) == ""
    assert first_names([*"abcdef"]) == "a, b, c, d and 2 more"
    assert first_names(range(5), 3, "; ") == "0; 1; 2 and 2 more"


def test_names_of_files_are_safe_and_differ_where_the_names_differ():
    names = [*ODD, "a/b", "a_b", "a\\b", "a:b", "a b", ".hidden", "x" * 301, "..", "/etc/passwd", "é", "e\u0301"]
    files = {name: file_name(name) for name in names}
    assert len({found.lower() for found in files.values()}) == len(set(names))
    for found in files.values():
        assert found.isascii() and not set(found) & set('/\\:*?"<>|$ \n') and not found.startswith(".")
        assert len(found) <= LONGEST + 20
    assert file_name("scratch_views") == "scratch_views" and file_name("b+no_local=1.x-y") == "b+no_local=1.x-y"


def test_what_is_no_utf8_is_told_apart():
    first, second = map(well_formed, ("a\udce9", "a\udce8"))
    assert (first, second) == (r"a\udce9", r"a\udce8")
    assert all(well_formed(name) == name for name in itertools.chain(ODD) if "\udce9" not in name)
