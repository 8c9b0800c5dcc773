"""Verify an artifact again, on the machine that will serve it.

Needs the deployed packages alone: no framework, not even onnx. Everything to compare with lies in
the artifact: hashes, golden outputs, the float variant, and the tolerance that INT8 had to meet.
"""

from convert.commands.verify.check import Check, Report
from convert.commands.verify.sequence import verify_artifact

__all__ = ["Check", "Report", "verify_artifact"]
