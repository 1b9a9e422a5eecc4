# SPDX-License-Identifier: Apache-2.0
"""A method of one's own: what the command ``new_method`` writes.

``templates/`` holds a method with its test as they lie in a bundle's ``scripts/``, and the bundle's own layer of
configs (see ``monai_cl_ext.bundles``). They work as they are; a new method has other names.
"""

from monai_cl_ext.scaffold.new_method import new_method

__all__ = ["new_method"]
