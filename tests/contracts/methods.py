"""Every method that the laws hold for, with its ways to get intermediate bounds."""

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual

METHODS = (
    Ibp(),
    LpDual(),
    LpDual(intermediate=Ibp()),
    Crown(),
    Crown(intermediate=Ibp()),
    Crown(intermediate=LpDual()),
    AlphaCrown(steps=3),
    AlphaCrown(steps=3, intermediate=Ibp()),
    AlphaCrown(steps=3, intermediate=AlphaCrown(steps=2)),
)
