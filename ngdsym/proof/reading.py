"""Polynomials in matrices read from text, with the spellings that people use."""

from __future__ import annotations

import re
from fractions import Fraction

from ngdsym.proof.words import Equation, Letters, Polynomial

NAME = r"[^\W\d][\w\u0300-\u036f⁺⁻]*"
_TOKEN = re.compile(rf"\s*(?:(\d+(?:\.\d+)?(?:/\d+)?|\.\d+)|({NAME})|(\.[A-Za-z]+|\*\*|[-+*()'^]|[⁺⁻ᵀ¹²³⁴-⁹]+))")
_SUFFIX = re.compile(r"(.+?)(ᵀ|⁻¹|⁻ᵀ|⁺|[²³⁴-⁹])")
_POWERS = {sign: k for k, sign in enumerate("²³⁴⁵⁶⁷⁸⁹", start=2)}
_ALIKE = str.maketrans({"−": "-", "·": "*", "⋅": "*", "@": "*", "⊤": "ᵀ", "{": "(", "}": ")"})
"""Signs that are written for others."""
_REAL = "the matrices here are real: write A' for the transpose, which is also the adjoint"


def polynomial(letters: Letters, text: str) -> Polynomial:
    """Read a polynomial: juxtaposition multiplies, `'` transposes, numbers multiply the identity.

    `A.T`, `Aᵀ` and `A^T` are `A'`, `A^2` and `A²` are `A A`; `A⁻¹` and `A⁺` declare the inverses of A.

    Examples
    --------
    >>> letters = Letters()
    >>> A, B = letters("A", "m", "n"), letters("B", "n", "n")
    >>> polynomial(letters, "A B^2 - 2 A") == A * B * B - 2 * A
    True
    """
    return Reader(letters, text).polynomial()


def equation(letters: Letters, text: str) -> Equation:
    """Read `left = right`, or `left`, which means left = 0."""
    if re.search("[≠<>≤≥]|!=", text):
        raise ValueError(f"{text!r} is no equation; that two sides differ is shown by refute(…, 'left = right')")
    left, *right = text.replace("==", "=").split("=")
    if len(right) > 1:
        raise ValueError(f"more than one = in {text!r}")
    read = Equation(polynomial(letters, left), polynomial(letters, right[0] if right else "0"))
    if not any(word for _, word in read.listing()):
        raise ValueError(f"{text!r} has no letters, so no matrix size: nothing to prove or assume")
    return read


class Reader:
    """Recursive descent: sum = product {± product}, product = factor {factor}, factor = atom {' ᵀ .T ^k}."""

    def __init__(self, letters: Letters, text: str) -> None:
        self.letters, self.text, self.tokens, at = letters, text, [], 0
        text = text.rstrip().translate(_ALIKE)
        while at < len(text):
            match = _TOKEN.match(text, at)
            if not match:
                raise ValueError(
                    f"cannot read {text!r} from {text[at:]!r}: write sums and products of letters and "
                    "numbers, A' for the transpose"
                )
            self.tokens.append(match[0].strip())
            at = match.end()

    def polynomial(self) -> Polynomial:
        result = self.sum()
        if self.tokens:
            raise ValueError(f"unexpected {self.tokens[0]!r} in {self.text!r}")
        return result

    def sum(self) -> Polynomial:
        result = None
        while result is None or self.peek() in ("+", "-"):
            sign = self.tokens.pop(0) if self.peek() in ("+", "-") else "+"
            product = self.product() if sign == "+" else -self.product()
            result = product if result is None else result + product
        return result

    def product(self) -> Polynomial:
        result = self.factor()
        while self.peek() not in ("", "+", "-", ")"):
            if self.peek() == "*":
                self.tokens.pop(0)
            result = result * self.factor()
        return result

    def factor(self) -> Polynomial:
        token = self.tokens.pop(0) if self.tokens else ""
        if token == "(":
            result = self.sum()
            if not self.tokens or self.tokens.pop(0) != ")":
                raise ValueError(f"unclosed parenthesis in {self.text!r}")
        elif token[:1].isdecimal() or token[:1] == "." and token[1:].isdecimal():
            result = Fraction(token) * self.letters.one if "." not in token else _decimal(token) * self.letters.one
        elif re.fullmatch(NAME, token):
            result = self.letter(token)
        else:
            raise ValueError(f"expected a letter, a number or ( in {self.text!r}, found {token or 'the end'!r}")
        while self.peek() and (self.peek() in ("'", "^", "**") or self.peek()[0] in ".⁺⁻ᵀ¹²³⁴⁵⁶⁷⁸⁹"):
            result = self.suffix(result, self.tokens.pop(0))
        return result

    def letter(self, name: str) -> Polynomial:
        """A declared letter, or one with ᵀ, ², ⁻¹ or ⁺ behind it; the last two declare the inverse."""
        parts = _SUFFIX.fullmatch(name)
        if name in self.letters or not parts:
            return self.letters[name]
        base, sign = parts.groups()
        if sign == "⁻ᵀ":
            return self.letter(base + "⁻¹").T
        if sign in ("⁻¹", "⁺") and base in self.letters:
            return self.letters.inverse(base, name) if sign == "⁻¹" else self.letters.pinv(base, name)
        return self.suffix(self.letter(base), sign)

    def suffix(self, result: Polynomial, sign: str) -> Polynomial:
        if sign in ("'", "ᵀ", ".T"):
            return result.T
        if sign == ".H":
            raise ValueError(f"{self.text!r} has .H: {_REAL}")
        if sign in _POWERS:
            return _power(result, _POWERS[sign])
        if sign not in ("^", "**"):
            raise ValueError(f"cannot read {sign!r} in {self.text!r}: {_INVERSE}")
        power = self.tokens.pop(0) if self.tokens else ""
        if power == "(" and self.tokens[1:2] == [")"]:
            power = self.tokens.pop(0)
            self.tokens.pop(0)
        if power in ("T", "ᵀ"):
            return result.T
        if power in ("H", "*"):
            raise ValueError(f"{self.text!r} has ^{power}: {_REAL}")
        if not power.isdecimal() or int(power) < 1:
            raise ValueError(f"{sign}{power} in {self.text!r} is no power to multiply out: {_INVERSE}")
        return _power(result, int(power))

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""


_INVERSE = (
    "write A^2 for a power, A⁻¹ and A⁺ for the inverse and pseudo-inverse of a letter, or name an inverse with "
    "inverses={'A': 'X'} or pinvs={'A': 'X'}"
)


def _power(base: Polynomial, exponent: int) -> Polynomial:
    result = base
    for _ in range(exponent - 1):
        result = result * base
    return result


def _decimal(token: str) -> Fraction:
    numerator, _, denominator = token.partition("/")
    return Fraction(numerator) / int(denominator or 1)
