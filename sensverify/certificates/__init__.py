"""Certificates: proofs of bounds for whoever trusts none of the code that found them.

``certify_bounds`` and ``certify_query`` make claims from what a method found,
``check_certificate`` checks them again from a file and the ONNX file that it is about. Importing
this brings in no torch.
"""

from sensverify.certificates.certificate import Certificate
from sensverify.certificates.certify import Certified, certify_bounds, certify_query
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.ending import Ending
from sensverify.certificates.check.float32 import float32_margin
from sensverify.certificates.check.run import Checked, StoredModel, check_certificate, check_claims
from sensverify.certificates.files import certificate_bytes, read_certificate, read_ending

__all__ = [
    "Certificate",
    "Certified",
    "Checked",
    "Claims",
    "Ending",
    "StoredModel",
    "certificate_bytes",
    "certify_bounds",
    "certify_query",
    "check_certificate",
    "check_claims",
    "float32_margin",
    "read_certificate",
    "read_ending",
]
