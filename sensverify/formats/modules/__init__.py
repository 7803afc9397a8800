"""Live ``torch.nn.Module`` objects as networks."""

from sensverify.formats.modules.importing import from_module

__all__ = ["from_module"]
