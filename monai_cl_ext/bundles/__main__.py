# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_cl_ext.bundles FOLDER`` builds all bundles into a folder; ``make bundles`` does so."""

import shutil
import sys
from pathlib import Path

from monai_cl_ext.bundles import build_bundle, bundle_names

for name in bundle_names():
    shutil.rmtree(Path(sys.argv[1], name, "configs"), ignore_errors=True)  # what was built before and is no more
    build_bundle(name, sys.argv[1])
