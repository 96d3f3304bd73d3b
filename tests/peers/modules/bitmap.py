"""What tini's suite wants of the bitmap package, which Debian does not have."""

from __future__ import annotations


class BitMap:
    """Bits of a number that is written with its lowest bit last."""

    def __init__(self, bits: list[int]) -> None:
        self.bits = bits

    @classmethod
    def fromstring(cls, text: str) -> BitMap:
        """Read zeros and ones."""
        return cls([number for number, bit in enumerate(reversed(text)) if bit == "1"])

    def nonzero(self) -> list[int]:
        """Return the places that are set, from 0 on."""
        return self.bits
