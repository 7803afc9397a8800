"""Names at the front of the package."""

import subprocess
import sys


def test_no_module_hides_a_function_of_its_name() -> None:
    code = """
import sensverify.verification.certify, sensverify.verification.critical_radius
import sensverify.verification as front
from sensverify.verification import certify, critical_radius
from sensverify.verification.certify import CertifiedBounds
assert callable(certify) and callable(critical_radius) and front.certify is certify
assert all(getattr(front, name) is not None for name in front.__all__)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
