"""Why a certificate, or one of its claims, is rejected."""

from fractions import Fraction


class Rejected(Exception):
    """A condition does not hold; ``condition`` names it in one or a few fixed words."""

    def __init__(self, condition: str, detail: str) -> None:
        super().__init__(f"{condition}: {detail}")
        self.condition = condition
        self.detail = detail


def require(holds: bool, condition: str, detail: str, *compared: Fraction | int) -> None:
    """Raise :class:`Rejected` unless the condition ``holds``; it shows the numbers ``compared``."""
    if not holds:
        numbers = " against ".join(decimal(Fraction(value)) for value in compared)
        raise Rejected(condition, f"{detail}: {numbers}" if compared else detail)


def decimal(value: Fraction) -> str:
    """A fraction for a person to read: up to 17 digits, rounded."""
    if value == 0:
        return "0"
    sign, size = "-" if value < 0 else "", abs(value)
    bits = size.numerator.bit_length() - size.denominator.bit_length()
    exponent = bits * 30103 // 100000
    while size >= Fraction(10) ** (exponent + 1):
        exponent += 1
    while size < Fraction(10) ** exponent:
        exponent -= 1
    digits = round(size / Fraction(10) ** (exponent - 16))
    if digits == 10**17:
        digits, exponent = 10**16, exponent + 1
    if -5 <= exponent < 16:
        whole = str(digits).rjust(17 + max(0, -exponent), "0")
        point = 1 + max(exponent, 0)
        return sign + f"{whole[:point]}.{whole[point:]}".rstrip("0").rstrip(".")
    whole = str(digits)
    mantissa = f"{whole[0]}.{whole[1:]}".rstrip("0").rstrip(".")
    return f"{sign}{mantissa}e{exponent:+d}"
