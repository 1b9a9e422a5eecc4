# SPDX-License-Identifier: Apache-2.0
"""Names of volumes, patients, classes, methods and runs that some channel would take for something else."""

ODD = (
    "$x", r"$\frac{a$", "5$ and 6$", "@seed", "@#path", "%x", "#1", "=1+1", "=HYPERLINK(0)", "+1", "-1", "'=quoted",
    "_hidden", "a_b_", "*star*", "**", "<script>alert(1)</script>", "<b>", "&amp;", "a|b", "`code`", 'say "hi"', "it's",
    r"back\slash", "two\nlines", "blank\n\nline", "tab\there", "\tfirst", "car\rriage", "日本語", "Müller", "[x](y)",
    "[", "{x}", "{{ x }}", "^~", "--x--", "NA", "None", "001", "1e5", "-0.5", "Infinity", "two  blanks", "\x1b[31mred",
    "back\u202ewards", "no\udce9utf8", "x" * 300, "a, b; c", "..", "CON",
)  # fmt: skip
