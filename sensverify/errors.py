"""Every error a caller can meet, in one tree.

::

    SensverifyError                 anything this package raises on purpose
    ├── InputError                  an argument or file cannot be used (also a ValueError)
    │   ├── BadShape                an array has the wrong shape
    │   ├── BadBox                  NaN, infinity, negative radius, or lower > upper
    │   ├── BadData                 a data file or data set cannot be used as asked
    │   ├── BadModelFile            a model file is missing, corrupt, hostile or not ONNX
    │   │   └── RuntimeDisagrees    onnxruntime reads a model file otherwise, or does not run it
    │   ├── BadProperty             a property file is missing, corrupt, hostile or not VNN-LIB
    │   ├── BadCertificate          a certificate file is missing, corrupt or hostile
    │   ├── BadCheckpoint           a checkpoint is damaged or belongs to another training
    │   ├── UnsupportedOperator     the model holds an operator that has no counterpart here
    │   ├── UnknownName             no method, model, data set, ... of that name
    │   ├── InUse                   another process is at work on a folder or file
    │   └── BadSetting              a method was given a value it does not accept
    ├── MissingRule                 a method has no rule for an operator of the network
    ├── Unbounded                   a bound left the range of finite floating-point numbers
    ├── CertificateRejected         a certificate does not prove what it claims
    ├── TrainingFailed              the loss is no number any more, or the network has collapsed
    ├── NotMeasured                 one figure of many could not be had; the reason is reported
    ├── UnsoundResult               a method returned NaN, or lower bounds above upper bounds
    ├── BackendMissing              an optional package is not installed
    └── BackendFailure              an optional package or a solver did not do its work

Every error carries a problem (what failed, what was received, what was expected) and a remedy
(what to do), each as text; ``str`` joins them. Settings are named in backquotes, as Python spells
them: ``give `radius` or `sigma```. The command line shows them as its options, in one line, and
exits with status 2.
"""

from typing import Self


class SensverifyError(Exception):
    """Anything this package raises on purpose.

    Parameters
    ----------
    problem : str
        What failed, what was received, what was expected.
    remedy : str, optional
        What to do about it.

    Attributes
    ----------
    problem, remedy : str
    """

    def __init__(self, problem: str = "", remedy: str = "") -> None:
        # Both are arguments of the exception: it is pickled between processes.
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return "; ".join(part for part in (self.problem, self.remedy) if part)

    def about(self, subject: str) -> Self:
        """The same error, its problem preceded by what it is about."""
        return type(self)(f"{subject}: {self.problem}", self.remedy)


class InputError(SensverifyError, ValueError):
    """An argument, a file or a setting cannot be used."""


def install(extra: str) -> str:
    """The remedy for a missing package: the line that installs an optional part of sensverify.

    It adds to the sensverify that is installed, wherever that is from.
    """
    return f"pip install 'sensverify[{extra}]'"


def missing(package: str, extra: str, user: str, hint: str = "") -> "BackendMissing":
    """The error where a package is missing that an optional part of sensverify brings.

    Parameters
    ----------
    package : str
        Its name on the package index.
    extra : str
        The optional part.
    user : str
        What needs it.
    hint : str
        What else there is to know about the remedy.
    """
    return BackendMissing(f"{user} needs {package}, which is not installed", install(extra) + hint)


class BadShape(InputError):
    """An array has the wrong shape."""


class BadBox(InputError):
    """A box or a radius holds NaN or infinity, is negative, or has lower > upper."""


class BadData(InputError):
    """A data file or a data set cannot be used as asked."""


class BadModelFile(InputError):
    """A model file is missing, corrupt, hostile, or not what it should be."""


class RuntimeDisagrees(BadModelFile):
    """onnxruntime computes something else from a model file, or does not run it."""


class BadProperty(InputError):
    """A property file is missing, corrupt, hostile, or asks what cannot be asked here."""


class BadCertificate(InputError):
    """A certificate file is missing, corrupt, hostile, or not what it should be."""


class BadCheckpoint(InputError):
    """A checkpoint of a training is damaged, or belongs to another training."""


class UnsupportedOperator(InputError):
    """The model holds an operator that has no counterpart here."""


class UnknownName(InputError):
    """There is no method, model, data set, ... of that name."""


class InUse(InputError):
    """Another process is at work on a folder or file."""


class BadSetting(InputError):
    """A method was given a value it does not accept."""


class MissingRule(SensverifyError):
    """A method has no rule for an operator of the network."""


class Unbounded(SensverifyError):
    """A bound left the range of finite floating-point numbers."""


class CertificateRejected(SensverifyError):
    """A certificate does not prove what it claims."""


class TrainingFailed(SensverifyError):
    """A training cannot go on: its loss is no number any more, or its network has collapsed."""


class NotMeasured(SensverifyError):
    """One figure of many could not be had; the message is the reason that a report gives."""


class UnsoundResult(SensverifyError):
    """A method returned NaN, or lower bounds above upper bounds."""


class BackendMissing(SensverifyError):
    """An optional package is not installed."""


class BackendFailure(SensverifyError):
    """An optional package or a solver did not do its work."""
