# SPDX-License-Identifier: Apache-2.0
"""What view policies do to one's own images: pictures of views, distances of positive and negative pairs, a t-SNE."""

from monai_cl_ext.extras import need

need("pages on views", "report", "sklearn", "markupsafe")
