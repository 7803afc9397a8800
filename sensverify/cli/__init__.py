"""The command line: parses, calls, prints. Start at `sensverify.cli.main`."""
