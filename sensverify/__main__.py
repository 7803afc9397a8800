"""``python -m sensverify`` is the command line."""

from sensverify.cli.main import main

main(prog_name="sensverify")
