"""Networks as immutable graphs of a few operators. Imports numpy, never torch."""

from sensverify.network.graph import Network, NetworkBuilder, Node
from sensverify.network.shapes import output_shape
from sensverify.network.simplify import REWRITES, simplify

__all__ = ["REWRITES", "Network", "NetworkBuilder", "Node", "output_shape", "simplify"]
