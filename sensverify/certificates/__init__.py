"""Certificates: proofs of bounds for whoever trusts none of the code that found them.

``certify_bounds`` and ``certify_query`` make claims from what a method found,
``check_certificate`` checks them again from a file and the ONNX file that it is about. Importing
this brings in no torch.
"""

from sensverify.certificates.certificate import Certificate
from sensverify.certificates.certified import Certified
from sensverify.certificates.certify import certify_bounds, certify_query
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.ending import Ending
from sensverify.certificates.check.float32 import float32_margin
from sensverify.certificates.check.pair import NewModel, StoredPair
from sensverify.certificates.check.run import Checked, check_certificate, check_claims
from sensverify.certificates.check.stored import StoredModel
from sensverify.certificates.files import certificate_bytes, read_about, read_certificate

__all__ = [
    "Certificate",
    "Certified",
    "Checked",
    "Claims",
    "Ending",
    "NewModel",
    "StoredModel",
    "StoredPair",
    "certificate_bytes",
    "certify_bounds",
    "certify_query",
    "check_certificate",
    "check_claims",
    "float32_margin",
    "read_about",
    "read_certificate",
]
