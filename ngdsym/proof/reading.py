"""Polynomials in matrices read from text, with the spellings that people use."""

from __future__ import annotations

import re
from fractions import Fraction

from ngdsym.proof.checker import WORD
from ngdsym.proof.letters import Letters, UndeclaredLetter
from ngdsym.proof.words import Equation, Polynomial

_TOKEN = re.compile(
    rf"\s*(?:(\d+(?:\.\d+)?(?:/\d+)?|\.\d+)|({WORD})|(\.[A-Za-z]+|\*\*|[-+*/()'^†]|⁻¹|⁻ᵀ|[⁺ᵀᴴ]|⁻?[²³⁴-⁹]))"
)
_RAISED = str.maketrans("⁺⁻¹²³⁴⁵⁶⁷⁸⁹ᵀᴴ", "+-123456789TH")
_ALIKE = str.maketrans({"−": "-", "·": "*", "⋅": "*", "@": "*", "⊤": "ᵀ", "{": "(", "}": ")"})
"""Signs that are written for others."""
_INSTEAD = {
    "I": "write 1 for the identity",
    "inv": "write A⁻¹ or A^-1 for the inverse",
    "pinv": "write A⁺ or A^+ for the pseudo-inverse",
    "transpose": "write A' for the transpose",
    "tr": "a trace is no product of matrices",
    "trace": "a trace is no product of matrices",
}
"""What to write for words that are no letters."""


def polynomial(letters: Letters, text: str) -> Polynomial:
    """Read a polynomial: juxtaposition multiplies, `'` transposes, numbers multiply the identity.

    `A.T`, `Aᵀ` and `A^T` are `A'`, `A^2` and `A²` are `A A`. `A⁻¹` and `A^-1` are the inverse, `A⁺` and `A^+` the
    pseudo-inverse, of a letter or of what stands in parentheses; they declare themselves.

    Examples
    --------
    >>> letters = Letters()
    >>> A, B = letters("A", "m", "n"), letters("B", "n", "n")
    >>> polynomial(letters, "A B^2 - 2 A") == A * B * B - 2 * A
    True
    >>> print(polynomial(letters, "(1 + B)⁻¹ A⁺"))
    (1+B)⁻¹ A⁺
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
    """Recursive descent: sum = product {± product}, product = factor {factor | / number}, factor = atom {raised}."""

    def __init__(self, letters: Letters, text: str) -> None:
        self.letters, self.text, self.tokens, at = letters, text.strip(), [], 0
        text = text.rstrip().translate(_ALIKE)
        while at < len(text):
            match = _TOKEN.match(text, at)
            if not match:
                raise self.unreadable(f"from {text[at:]!r}", "write sums and products of letters and numbers")
            self.tokens.append(match[0].strip())
            at = match.end()

    def polynomial(self) -> Polynomial:
        result = self.sum()
        if self.tokens:
            raise self.unreadable(f"at {self.tokens[0]!r}", "a parenthesis too many")
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
            if self.peek() == "/":
                self.tokens.pop(0)
                number = self.tokens.pop(0) if self.peek()[:1].isdecimal() else ""
                if not number or not _number(number):
                    raise self.unreadable("after /", "divide by a number; for a matrix write A⁻¹")
                result = 1 / _number(number) * result
                continue
            if self.peek() == "*":
                self.tokens.pop(0)
            result = result * self.factor()
        return result

    def factor(self) -> Polynomial:
        token = self.tokens.pop(0) if self.tokens else ""
        if token == "(":
            result = self.sum()
            if not self.tokens or self.tokens.pop(0) != ")":
                raise self.unreadable("to its end", "a parenthesis is not closed")
        elif token.lstrip(".")[:1].isdecimal():
            result = _number(token) * self.letters.one
        elif re.fullmatch(WORD, token):
            if token in _INSTEAD and token not in self.letters:
                raise UndeclaredLetter(f"the letter {token} is not declared: {_INSTEAD[token]}")
            result = self.letters[token]
        else:
            raise self.unreadable(f"at {token or 'its end'!r}", "a letter, a number or ( should stand there")
        while self.peek() and (self.peek() in ("'", "^", "**", "†") or self.peek()[0] in ".⁺⁻ᵀᴴ²³⁴⁵⁶⁷⁸⁹"):
            result = self.raised(result, self.tokens.pop(0))
        return result

    def raised(self, base: Polynomial, sign: str) -> Polynomial:
        """`base` with the sign behind it: a transpose, a power or an inverse."""
        power = self.exponent() if sign in ("^", "**") else sign.translate(_RAISED).removeprefix(".")
        if power in ("'", "T"):
            return base.T
        if power == "+":
            return self.letters.inverse(base, "⁺")
        if power in ("H", "*", "†"):
            raise self.unreadable(
                f"at {sign}{power * (sign in ('^', '**'))}",
                "matrices here are real: A' is also the adjoint, and A⁺ the pseudo-inverse",
            )
        if power[:1] == "-" and power != "-":
            base, power = self.letters.inverse(base, "⁻¹"), power[1:].replace("T", "'")
        if power == "'":
            return base.T
        if not power.isdecimal() or int(power) < 1:
            raise self.unreadable(
                f"at {sign}{power * (sign in ('^', '**'))}", "a power is a whole number, such as A^2, A^-1, or A^T, A^+"
            )
        result = base
        for _ in range(int(power) - 1):
            result = result * base
        return result

    def exponent(self) -> str:
        """What stands behind ^, with or without parentheses."""
        inside = self.peek() == "("
        if inside:
            self.tokens.pop(0)
        power = self.tokens.pop(0) if self.tokens else ""
        if power == "-" and self.tokens:
            power += self.tokens.pop(0)
        if inside and (not self.tokens or self.tokens.pop(0) != ")"):
            raise self.unreadable(f"at ^({power}", "a power is a whole number, such as A^2, A^-1, or A^T, A^+")
        return power.translate(_RAISED)

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def unreadable(self, where: str, instead: str) -> ValueError:
        return ValueError(f"cannot read {self.text!r} {where}: {instead}; A' is the transpose")


def _number(token: str) -> Fraction:
    numerator, _, denominator = token.partition("/")
    if denominator and not int(denominator):
        raise ValueError(f"{token} divides by zero")
    return Fraction(numerator) / int(denominator or 1)
