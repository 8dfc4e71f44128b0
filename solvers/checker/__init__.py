"""An exact checker of certificates, from the standard library alone.

It shares no code with the solvers: its folder, copied anywhere, runs by itself
(``python -I -S checker FILE``), and so does the zip archive that ``make checker`` builds. All
arithmetic is on integers and fractions; a JSON number stands for the double nearest to it, which
is a rational number. The format is described in ``docs/certificate-format.md``.
"""

from .checking import Report, check
from .errors import Rejected
from .work import DEFAULT_LIMIT

__all__ = ["DEFAULT_LIMIT", "Rejected", "Report", "check"]
