"""The energy landscape of a loss: minima, saddles and paths, and how sensitive its networks are.

`energy` and `network_energy` are what is searched, `minimise`, `newton`, `basin_hopping`,
`saddles` and `paths` how; `search` and `rounds` put them together, for any `Energy`. `database`
holds what was found, each point once, and `run` fills a folder that `Landscape.read` reads.
"""

from sensverify.landscape.database import Alike, Database
from sensverify.landscape.energy import Energy, FunctionEnergy
from sensverify.landscape.folder import Landscape
from sensverify.landscape.network_energy import NetworkEnergy, Samples
from sensverify.landscape.points import DescentPath, Link, ReluEnd, StationaryPoint
from sensverify.landscape.request import LandscapeRequest, read_landscape
from sensverify.landscape.rounds import explore
from sensverify.landscape.run import run_landscape
from sensverify.landscape.settings import Search, Settings

__all__ = [
    "Alike",
    "Database",
    "DescentPath",
    "Energy",
    "FunctionEnergy",
    "Landscape",
    "LandscapeRequest",
    "Link",
    "NetworkEnergy",
    "ReluEnd",
    "Samples",
    "Search",
    "Settings",
    "StationaryPoint",
    "explore",
    "read_landscape",
    "run_landscape",
]
