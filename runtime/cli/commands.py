"""Which commands there are. Each is imported when it is called; the sentence here is what `hostel --help` shows, the
command's own page is what its function says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Final

from cyclopts import App, Group, Parameter

from runtime.cli.exit_codes import EXIT_CODES

_COMMANDS: Final = {
    "Developers": (
        ("new", "new:new", "Make a project with a working program, in one of five languages."),
        ("build", "build:build", "Compile a project's sources into its bundle."),
        ("dev", "dev:dev", "Run a project in a daemon of its own, and load it anew when a file changes."),
        ("test", "test:test", "Play a project's scenarios: real host, own clock, users and network."),
        ("keygen", "keys:keygen", "Make a developer's key; print the entry for keyrings that trust it."),
        ("pack", "bundles:pack", "Make a bundle of the files in a folder; the same files give the same bytes."),
        ("sign", "bundles:sign", "Sign a bundle, in the place of any signature it has."),
        ("check", "check:check", "Say of a bundle, project or module, without running it, what a host will refuse."),
        (
            "run",
            "run:run",
            "Send one message to a bundle's program; print its answer as JSON, and what it logs on standard error.",
        ),
        ("replay", "recording:replay", "Run a recorded call again; show the first difference."),
        ("conformance", "conformance:conformance", "Judge a host of mini-programs, this or another, by the protocol."),
        ("target", "target:target", "Play conformance cases from standard input: this host, for the suite."),
        ("api methods", "api:methods", "List the methods that programs may call on the host."),
        ("api show", "api:show", "Show one method: parameters, result, errors, capability, example."),
        ("api schema", "api:schema", "Print the JSON Schema of every message between a program and the host."),
        ("api bindings", "api:bindings", "Print the typed bindings of the host API for one language."),
    ),
    "Front ends": (
        ("payments list", "payments:list_", "List the payments that wait for an answer."),
        ("payments show", "payments:show", "Show one payment that waits, with all that its user is to see."),
        ("payments confirm", "payments:confirm", "Say yes for the user: the payment is made."),
        ("payments decline", "payments:decline", "Say no for the user."),
        ("consent list", "consent:list_", "List what a user decided, and until when it holds."),
        ("consent pending", "consent:pending", "List the questions for consent that wait for an answer."),
        ("consent allow", "consent:allow", "Say yes for the user."),
        ("consent refuse", "consent:refuse", "Say no for the user."),
        ("consent revoke", "consent:revoke", "Take back what a user allowed a program."),
    ),
    "Operators": (
        ("serve", "serve:serve", "Run the host as a daemon; with --check, say what it would run with."),
        ("install", "install:install", "Install a bundle on a host that runs, and say what it may do."),
        ("call", "call:call", "Send one message to an installed program; print its answer as JSON."),
        ("notify", "call:notify", "Send a notification to an installed program."),
        ("grant", "install:grant", "Say what a program may do, in the place of what it was granted."),
        ("limit", "install:limit", "Say what a program may use, where it differs from the host's limits."),
        ("revoke", "install:revoke", "Take capabilities away from a program, at once and for good."),
        ("token", "token:token", "Make a token for clients over TCP, and the entry for hostel.toml."),
        ("reload", "steer:reload", "Have a host that runs read its configuration again."),
        ("drain", "steer:drain", "Have a host take no new calls, and wait for those in flight."),
        ("stop", "steer:stop", "Have a host end as SIGTERM ends it."),
        ("status", "top:status", "Say how a host does that runs; wait until it is ready."),
        ("top", "top:top", "Show the busiest programs of a host that runs, once a second."),
        ("logs", "logs:logs", "Print what programs logged, and follow it."),
        ("receipts", "logs:receipts", "Print what calls cost and how they ended, and follow it."),
        ("events tail", "logs:events", "Follow which events programs are told."),
        ("backup", "backup:backup", "Make a backup of all that is kept, while the host runs."),
        ("backups", "backup:backups", "List the backups that were made, and whom erased since they still hold."),
        ("restore", "backup:restore", "Make a state directory of a backup, and prove it."),
        ("verify", "bundles:verify", "Say whose signature a bundle has, and whether a keyring trusts it."),
        ("inspect", "bundles:inspect", "Show what a bundle is, asks for and holds."),
        ("developer add", "developer:add", "Sign a developer up."),
        ("developer list", "developer:list_", "List developers."),
        ("developer show", "developer:show_", "Show a developer and their keys."),
        ("developer trust", "developer:trust", "Say how far a developer is trusted."),
        ("developer limits", "developer:limits", "Set what all programs of a developer may use together."),
        ("developer key add", "developer:key_add", "Register a developer's public key."),
        ("developer key revoke", "developer:key_revoke", "Revoke a key; list what it signed."),
        ("release upload", "release:upload", "Upload a developer's bundle; it waits for a review."),
        ("release list", "release:list_", "List the releases of a program, or the uploads that wait."),
        ("release show", "release:show_", "Show a release with the report of its upload."),
        ("release approve", "release:approve", "Approve an upload and say what it is given."),
        ("release reject", "release:reject", "Reject an upload, with a reason for its developer."),
        ("release trial", "release:trial", "Let named users have a release."),
        ("release gray", "release:gray", "Let a share of all users have a release."),
        ("release full", "release:full", "Let everybody have a release."),
        ("release offline", "release:offline", "Let nobody have any release of a program."),
        ("release rollback", "release:rollback", "Go back to the last full release."),
        ("release minimum", "release:minimum", "Let no release below a version code ever run again."),
        ("release kill", "release:kill", "Stop a program at once, until it is revived."),
        ("release revive", "release:revive", "Let a stopped program be called again."),
        ("programs", "release:programs", "List installed programs."),
        ("program show", "release:program_show", "Show a program: releases, grants, limits, owner."),
        ("user set", "user:put", "Set what is known of a user: nickname, avatar, locale, age band, phone, address."),
        ("user deposit", "user:deposit", "Put money from outside into a user's wallet."),
        ("user show", "user:show", "Show what is known of a user, their balances, and how much else is kept."),
        ("user export", "user:export", "Give out everything the host keeps of a user, as JSON."),
        ("user erase", "user:erase", "Forget a user, on the disk too; of payments only amounts stay."),
        ("user token", "user:token", "Print a token with which a front end speaks for a user over HTTP."),
        ("user end-sessions", "user:end_sessions", "End what front ends may do for a user."),
        ("uninstall", "uninstall:uninstall", "End a program's open payments; with --erase, forget what it kept."),
        ("notices list", "notices:list_", "List messages from programs that wait for their users."),
        ("notices take", "notices:take", "Say that a message was shown: the host forgets its text."),
        ("audit verify", "audit:verify", "Prove that no record of the audit was changed or cut off."),
        ("audit head", "audit:head", "Print the audit's signed head, to be kept outside of the machine."),
        ("audit list", "audit:list_", "Print the audit's records, one a line."),
        ("ledger verify", "ledger:verify", "Recompute everything: ledger, payments, events and audit."),
        ("ledger balance", "ledger:balance", "Show what lies in the ledger's accounts."),
        ("limits", "tables:limits", "List every limit: unit, default, bounds, scope, error and meaning."),
    ),
    "About": (
        ("exit-codes", "tables:exit_codes", "List what the exit codes mean."),
        ("doctor", "doctor:doctor", "Say what this machine can do for hostel, and what is missing for more."),
        ("version", "tables:version", "Print the versions of hostel and what it runs on."),
    ),
}
_GROUPS: Final = {
    "developer": "Sign developers up, register and revoke their keys, say how far they are trusted.",
    "developer key": "Register and revoke a developer's keys.",
    "release": "Take a release from its upload to everybody, and back.",
    "program": "Look at one installed program.",
    "user": "Set, show, give out and erase what a host keeps of a user; let front ends speak for one.",
    "notices": "Show users what programs have to say, in the place of a front end.",
    "events": "Look at what programs are told of their orders.",
    "audit": "Prove, print and read the chain of records over every effect.",
    "ledger": "Prove everything that a host keeps, and look into its accounts.",
    "api": "Look up the methods that programs may call on the host.",
    "payments": "Answer payments that wait for their users, in the place of a front end.",
    "consent": "Answer questions for consent, and take consent back, in the place of a front end.",
}
"""What stands before the last word of a command → what such commands are about."""
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
        for words, place, sentence in commands:
            *before, last = words.split()
            if not before:
                app.command(f"runtime.cli.{place}", name=last, help=sentence, group=group, help_epilogue="")
                continue
            _group(app, before, group).command(f"runtime.cli.{place}", name=last, help=sentence)
    return app


def _group(app: App, before: Sequence[str], group: Group) -> App:
    """The commands that begin with these words."""
    for number, word in enumerate(before, 1):
        if word not in app:
            about = _GROUPS[" ".join(before[:number])]
            shown = group if number == 1 else None
            app.command(App(name=word, help=about, group=shown, help_epilogue="", version_flags=()))
        app = app[word]
    return app


def tell_all_of(words: Sequence[str]) -> None:
    """For the help page of one command: all that its function says of itself, in the place of the sentence here."""
    app: App = APP
    for word in words:
        if word not in app or word.startswith("-"):
            break
        app = app[word]
    if app.default_command is not None and app is not APP:
        app.help = _prose(app.default_command)


def _prose(function: Callable[..., object]) -> str:
    """What its docstring says before the parameters; each paragraph is one line, for the page to break."""
    paragraphs = (inspect.getdoc(function) or "").partition("\n\nParameters\n---")[0].split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


APP: Final = _app()
