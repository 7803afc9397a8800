"""Networks from ONNX files. Imports onnx and numpy, never torch.

`importer` walks a model; `call` holds the table of handlers, one for each operator type; the other
modules hold the handlers. A new one is a function with the decorator ``handles("OperatorType")``.
"""

from sensverify.formats.onnx.ends import Ends
from sensverify.formats.onnx.heads import Head
from sensverify.formats.onnx.importer import OnnxModel, load_onnx, read_onnx

__all__ = ["Ends", "Head", "OnnxModel", "load_onnx", "read_onnx"]
