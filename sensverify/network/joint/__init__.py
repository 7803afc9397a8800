"""Two networks in one question: a network of both, which carries their differences."""

from sensverify.network.joint.difference import Joint, join

__all__ = ["Joint", "join"]
