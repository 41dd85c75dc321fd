"""The command line: one Typer app, a module for each command."""
