"""Which commands there are. Each is imported when it is called; the sentence here is what `hostel --help` shows."""

from __future__ import annotations

from typing import Final

from cyclopts import App, Group, Parameter

from runtime.cli.exit_codes import EXIT_CODES

_COMMANDS: Final = {
    "Developers": (
        ("keygen", "keys:keygen", "Make a developer's key; print the entry for keyrings that trust it."),
        ("pack", "bundles:pack", "Make a bundle of the files in a folder; the same files give the same bytes."),
        ("sign", "bundles:sign", "Sign a bundle, in the place of any signature it has."),
        ("check", "check:check", "Check a bundle's module without running it; show how far from each cap it is."),
        (
            "run",
            "run:run",
            "Send one message to a bundle's program; print its answer as JSON, and what it logs on standard error.",
        ),
    ),
    "Operators": (
        ("verify", "bundles:verify", "Say whose signature a bundle has, and whether a keyring trusts it."),
        ("inspect", "bundles:inspect", "Show what a bundle is, asks for and holds."),
        ("limits", "tables:limits", "List every limit: unit, default, bounds, scope, error and meaning."),
    ),
    "About": (
        ("exit-codes", "tables:exit_codes", "List what the exit codes mean."),
        ("version", "tables:version", "Print the versions of hostel and what it runs on."),
    ),
}
_EPILOGUE: Final = "Exit codes: " + " · ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + "."


def _app() -> App:
    app = App(
        name="hostel",
        help="A host for mini-programs: WebAssembly bundles in sandboxes, with payments and user data by message.\n\n"
        "Every command takes --json: one JSON document on standard output, refusals included.",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        version_flags=(),
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for place_in_help, (title, commands) in enumerate(_COMMANDS.items()):
        group = Group(title, sort_key=place_in_help)
        for name, place, sentence in commands:
            app.command(f"runtime.cli.{place}", name=name, help=sentence, group=group, help_epilogue="")
    return app


APP: Final = _app()
