"""Records of results."""

from __future__ import annotations

import json
import re

from click.testing import CliRunner

from sensverify.cli.main import main
from sensverify.core.record import RunRecord, versions


def test_a_record_says_when_and_with_what() -> None:
    record = RunRecord.now()
    assert record.command is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.date)
    assert {*versions(), "onnx", "onnxruntime", "highspy"} <= {*record.versions}


def test_a_command_is_in_its_result_as_somebody_could_type_it(tmp_path) -> None:
    name = tmp_path / "a file's property.vnnlib"
    name.write_text(
        "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const X_2 Real)"
        "(declare-const X_3 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)"
        "(declare-const Y_2 Real)"
        + "".join(f"(assert (>= X_{i} 5.0))(assert (<= X_{i} 5.1))" for i in range(4))
        + "(assert (>= Y_0 1000.0))"
    )
    arguments = ["verify", "iris", "--property", str(name), "--json", "-"]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 0, found.stderr
    quoted = str(name).replace("'", "'\"'\"'")
    command = json.loads(found.stdout)["command"]
    assert command == f"sensverify verify iris --property '{quoted}' --json -"
    assert RunRecord.now().command is None
