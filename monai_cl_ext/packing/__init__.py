# SPDX-License-Identifier: Apache-2.0
"""From what was trained to a bundle that others run: settings baked in, scores told, nothing of the patients."""
