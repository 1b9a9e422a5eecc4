# SPDX-License-Identifier: Apache-2.0
"""Label-efficiency studies: bundles run stage by stage, each in a folder of its own; needs the extra "study"."""

from monai_cl_ext.extras import need

need("studies", "study", "pandas", "statsmodels", "matplotlib", "jinja2")
