"""From the records of what was claimed to a certificate that the exact checker reads.

The format is described in ``docs/certificate-format.md``; the checker is :mod:`solvers.checker`.
"""

from solvers.evidence.attestation import Attestation, attested
from solvers.evidence.document import certificate

__all__ = ["Attestation", "attested", "certificate"]
