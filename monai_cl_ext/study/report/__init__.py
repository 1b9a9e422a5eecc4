# SPDX-License-Identifier: Apache-2.0
"""The report of a study: its page, tables and figures; needs the extra "study"."""
