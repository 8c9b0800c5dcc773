"""The verification of an artifact once more, on the machine that will serve it.

Needs the deployed packages alone: no framework, not even onnx. What is compared with lies in the
artifact: hashes, golden outputs, the float variant, the tolerance that INT8 was judged by.
"""

from convert.commands.verify.artifact import recheck
from convert.commands.verify.check import Check, Report

__all__ = ["Check", "Report", "recheck"]
