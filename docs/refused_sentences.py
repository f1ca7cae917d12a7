"""The sentences of docs/refused.md: code by code why it is said, and what to do about it.

What lives here: texts only. How a page is made of them is refused_page.py's; cures that the code declares are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from host_api.errors import ErrorCode
from runtime.errors import Ending

Sentences = Mapping[str, tuple[str, str]]
"""Code → why, and what to do."""

WHY: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.UNKNOWN_METHOD: "the host has no method of that name",
    ErrorCode.CAPABILITY_UNDECLARED: "the method needs a capability that the manifest does not ask for",
    ErrorCode.CAPABILITY_NOT_GRANTED: "the manifest asks for it, and the operator did not give it, or took it back",
    ErrorCode.GRANT_EXPIRED: "it was given until a time that is over",
    ErrorCode.GRANT_CONSTRAINT: "it was given within bounds (an amount, a host, a key, a program), and this is outside",
    ErrorCode.CONSENT_REQUIRED: "it is personal data, and the user was not asked, or took their consent back",
    ErrorCode.CONSENT_DENIED: "the user was asked a short while ago, and refused",
    ErrorCode.INVALID_PARAMS: "a parameter is missing, unknown, of another type or out of its bounds",
    ErrorCode.LIMIT_EXCEEDED: "one of the limits of this call or program does not allow it",
    ErrorCode.RATE_LIMITED: "too often in too short a time",
    ErrorCode.KEY_REUSED: "an idempotency key names one request for ever",
    ErrorCode.IN_PROGRESS: "a request with the same key has not ended yet",
    ErrorCode.NOT_FOUND: "there is none of that id, or it is another program's or user's: both look alike",
    ErrorCode.VERSION_CONFLICT: "somebody wrote it since it was read",
    ErrorCode.QUOTA_EXCEEDED: "storage, or the number of keys, is full",
    ErrorCode.ORDER_MISMATCH: "a business key names one order, and this asks for another under it",
    ErrorCode.INVALID_STATE: "the order, or the refund, is past the state in which this is possible",
    ErrorCode.EXPIRED: "the time in which the order could be paid is over",
    ErrorCode.DECLINED: "the user declined the payment for good",
    ErrorCode.INSUFFICIENT_FUNDS: "the user's wallet does not cover it",
    ErrorCode.CASHIER_BUSY: "one prompt at a time is put to a user",
    ErrorCode.NOT_INTERACTIVE: "nobody looks at the program: it runs for a notification, or the front end said so",
    ErrorCode.REFUND_EXCEEDS_CAPTURED: "more would go back than was paid",
    ErrorCode.REFUND_WINDOW_OVER: "refunds are made for a limited time",
    ErrorCode.MERCHANT_FUNDS_LOW: "what was paid has been paid out",
    ErrorCode.PROGRAM_FAILED: "the other program answered with an error, trapped, or was over its limits",
    ErrorCode.ADDRESS_REFUSED: "the name leads to an address that is private, or the machine's own",
    ErrorCode.FETCH_FAILED: "no connection, no valid certificate, or an answer that breaks off",
    ErrorCode.REENTRANT_CALL: "a program that keeps its sandbox would be called from within its own call",
    ErrorCode.UNKNOWN_OUTCOME: "the host lost sight of it after it was handed over: it may be done",
    ErrorCode.BUSY: "the store, or a place to run in, is not free just now",
    ErrorCode.INTERNAL: "a bug of the host",
}

ENDINGS: Final[Mapping[Ending, tuple[str, str]]] = {
    Ending.COMPLETED: ("it answered with a result", "nothing"),
    Ending.FAILED: (
        "it answered with an error of its own, or had no room for the message",
        "`details.error` is what it said; `details.length` the message that found no room: make `hostel_alloc` larger",
    ),
    Ending.EXITED: (
        "it called `proc_exit`",
        "return from `hostel_handle`: a panic or `abort` of the language calls it",
    ),
    Ending.TRAPPED: (
        "unreachable code, an access outside its memory, a division by zero, a stack that ran out",
        "`details.trap` says which; a receipt with `memory_at_limit` tells of too little memory",
    ),
    Ending.CPU_EXCEEDED: (
        "over `cpu_us`",
        "do less in one call, or have the operator give more: `--limit cpu_us=NUMBER`",
    ),
    Ending.FUEL_EXHAUSTED: (
        "its instructions were over `fuel`, which the operator has counted",
        "do less in one call, or have more given",
    ),
    Ending.DEADLINE_EXCEEDED: (
        "over `wall_ms`, host calls included; time in which a person is asked does not count",
        "wait for less, post requests beside each other, or have more given: `--limit wall_ms=NUMBER`",
    ),
    Ending.PROTOCOL_VIOLATION: (
        "a pointer outside its memory, bytes that are no message, a msgid used twice, a response over its limit",
        "the detail names which; the SDKs of hostel do none of this",
    ),
    Ending.CANCELLED: ("the host closed, or was drained, while it ran", "call again"),
    Ending.REVOKED: ("the program was uninstalled, or its user erased, while it ran", "nothing: it was meant"),
    Ending.WORKER_LOST: (
        "the process that ran it was killed: it hung, or took too much memory",
        "call again; what it had handed over is done and recorded. If it comes again, the program is stopped",
    ),
    Ending.INTERNAL: ("a bug of the host", "`details.incident` finds it in the host's log; report it"),
}

BUNDLE: Final[Sentences] = {
    "bundle_invalid": (
        "the archive is damaged, too large, or has members that it may not have",
        "make it with `hostel pack`; the message names the member or the limit",
    ),
    "manifest_invalid": (
        "manifest.json says something that is not allowed, or names what is not there",
        "the message says where, and what to write; the table below has every part",
    ),
    "manifest_unsupported": ("it asks for a newer host, or another ABI", "run it on a newer host, or ask for less"),
    "asset_not_found": (
        "the bundle has no such file",
        "paths are from the bundle's folder; manifest and code are no assets",
    ),
    "signature_invalid": (
        "the signature is not of these bytes, or not made well",
        "`hostel sign` again, as the last step",
    ),
    "unsigned_bundle": (
        "this host takes signed bundles only",
        "`hostel sign`; a developer's own host may say `allow_unsigned`",
    ),
    "key_unknown": (
        "nobody told this host to trust the key",
        "register it with `hostel developer key add`, or name the keyring that has it",
    ),
    "key_revoked": ("the key was revoked by its owner or the operator", "sign with the new key"),
    "key_expired": (
        "the key is used outside of its window",
        "`details` tell the window; sign with a key that is valid",
    ),
    "module_refused": (
        "the module breaks a cap, uses a feature that is off, or does not fit the ABI",
        "`hostel check` shows how far it is from each cap, and which check failed",
    ),
    "compile_limit": ("compiling it takes more time or memory than it may", "split large functions; build without -O0"),
    "script_invalid": (
        "a script does not load: it cannot be read, or throws at its top level",
        "the message has file, line and column; `hostel build` says the same",
    ),
}

CALLS: Final[Sentences] = {
    "not_installed": ("no program of that id is installed", "`hostel programs` lists them; `hostel install`"),
    "program_unavailable": (
        "it was stopped, or has no release that this user gets",
        "`details.state`: `killed` and `quarantined` are revived by the operator",
    ),
    "rate_limited": (
        "more calls or processor time per second than the program, or its developer, may have",
        "wait `retry_after_ms`; `details.scope` says whose it was",
    ),
    "queue_full": ("as many calls wait already as may", "wait `retry_after_ms`; make calls shorter"),
    "overloaded": ("the host is full, or holds too much for this program", "wait `retry_after_ms`"),
    "user_being_erased": ("the user's data is being deleted", "after `retry_after_ms` the user is a new one"),
    "message_too_large": ("the message is over `message_in_bytes`", "send less, or have more given"),
    "host_closed": ("the host closes", "call again when it is back"),
    "refused": ("the call was refused before it began", "the message says why"),
}

RELEASES: Final[Sentences] = {
    "grant_invalid": ("no such capability, or a constraint that it does not take", "the message names the nearest"),
    "permission_missing": (
        "the manifest requires a permission that is not granted",
        'grant it, or have the developer write `"required": false`',
    ),
    "other_developer": (
        "the id belongs to another developer's program",
        "choose another id; `--new-owner` where the program has changed hands",
    ),
    "version_goes_down": (
        "its version code is below the one that is out",
        "raise it; `hostel release rollback` goes back",
    ),
    "version_taken": ("a version code is used once", "upload with one above `details.highest`"),
    "release_unknown": ("there is no such release", "`hostel release list`"),
    "developer_unknown": ("there is no such developer", "`hostel developer list`"),
    "step_refused": ("this step does not follow where the release stands", "`details.allowed` says which do"),
    "nothing_to_roll_back_to": ("no other release of it was full before", "upload one that mends it"),
    "below_minimum": ("the operator set a least version above it", "`hostel release minimum` says which"),
    "minimum_refused": ("the least version would stop the release that everybody has", "release a newer one first"),
    "uploads_pending": ("as many uploads wait for a review as may", "wait for one to be judged"),
    "uploads_per_day": ("as many uploads came in 24 hours as may", "upload again tomorrow"),
    "developer_exists": ("another developer has that name", "choose another"),
    "key_exists": ("the key is registered already", "make one of your own: `hostel keygen`"),
    "keys_max": ("a developer has as many keys as may be", "revoke one"),
    "key_window": ("the key would end before it begins", "turn the two times round"),
    "trust_unknown": ("there is no such trust", "the message lists them"),
    "text_refused": ("a name or a reason is too long, or not one clean line", "the message says what is allowed"),
    "page_refused": ("a list was asked for with no such length", "the message says what is allowed"),
    "share_refused": ("a share is out of its bounds", "the message says what is allowed"),
    "trial_users": ("too many users for a trial, or none", "the message says what is allowed"),
}

ANSWERS: Final[Sentences] = {
    "answer_refused": ("the answer to a prompt was not taken", "the message says why"),
    "prompt_not_found": (
        "it was answered, taken back, or its time is over",
        "`hostel payments list`, `hostel consent pending`",
    ),
    "token_refused": ("the answer belongs to another showing of the prompt", "have it shown again, and answer that"),
    "answer_early": ("nobody can have read it yet", "answer after `retry_after_ms`"),
    "not_answered": ("no yes was typed", "the prompt waits on"),
    "not_paid": ("the yes came, and the order was closed", "`details.close_reason`"),
    "notice_not_found": ("no such message waits: it was taken, or its time is over", "`hostel notices list`"),
    "balance_left": ("the user to be erased has money in a wallet", "pay it out, or say that it is forfeited"),
    "field_invalid": ("what is to be known of the user cannot be", "the message says what the field takes"),
}

HOST: Final[Sentences] = {
    "invalid_argument": ("an argument, a file or a value that cannot be", "the message says which; `--help`"),
    "config_invalid": (
        "hostel.toml has what hostel does not know or allow",
        "`details.problems`; `hostel serve --check`",
    ),
    "startup_refused": (
        "the host cannot promise what it must, so it does not start",
        "the message says what; `hostel doctor`",
    ),
    "jail_unavailable": (
        "programs cannot be jailed as far as the configuration asks",
        "`hostel doctor` says what is missing",
    ),
    "ticker_failed": ("a program that spins could not be stopped in time", "another machine, or a less busy one"),
    "binding_changed": (
        "another wasmtime is installed than hostel knows",
        "install one of the range that hostel names",
    ),
    "state_in_use": ("another host has the state directory", "end it, or ask it: commands find its socket"),
    "state_missing": ("a command was to work on a state directory, and there is none", "check the path"),
    "state_too_new": ("a newer hostel wrote it", "run that one"),
    "state_unsafe": ("others may read or write the state directory", "chown it to this user, chmod 700"),
    "state_damaged": ("the database cannot be opened", "`hostel restore` a backup"),
    "state_exists": ("a backup is restored to a new directory only", "name one that is not there"),
    "backup_damaged": ("the backup is not whole", "use another one: `hostel backups`"),
    "key_lost": ("a file in `keys/` is gone, or another one", "restore it: what was made with it cannot be made again"),
    "verification_failed": (
        "what the host keeps does not hold together",
        "the line names the first difference; restore a backup",
    ),
    "socket_in_use": ("another host listens there", "end it, or name another socket"),
    "socket_unusable": ("the control socket cannot be made", "the message says why"),
    "tls_unusable": ("certificate or key cannot be used", "the message says why"),
    "nothing_counted": ("the host counts nothing", "`[metrics]` in hostel.toml, or `HostSettings.metrics`"),
    "too_many_watch": ("as many follow as may", "end one"),
    "not_confirmed": ("what cannot be undone was not confirmed", "say `--yes`"),
    "build_failed": ("the compiler refused the sources, or is not there", "the message has its words; `hostel doctor`"),
    "scenario_invalid": ("a scenario's file says what a scenario cannot", "the message says where; docs/scenarios.md"),
    "scenario_failed": ("a step of a scenario came out otherwise than expected", "the first difference is shown"),
    "cases_failed": ("a conformance case is not as it should be", "the lines before name it; docs/conformance.md"),
    "record_invalid": ("the file is no record of a call, or was changed since", "make one with `hostel run --record`"),
    "replay_differs": ("the call did something else than was recorded", "the first difference is shown"),
    "internal": ("a bug of hostel", "`details.incident` finds it in the log; report it"),
}

WAY: Final[Sentences] = {
    "request_refused": ("the connection refused the request", "the message says why"),
    "access_denied": (
        "the host does not know who asks, or the role may not do this",
        "`hostel token`; roles are in hostel.toml",
    ),
    "connection_lost": ("the connection broke", "`details.outcome`: `none`, it was not sent; `unknown`, look first"),
    "unreachable": (
        "no host answers there",
        "`hostel serve`, or name the socket: `--state`, `--socket`, `HOSTEL_SOCKET`",
    ),
    "not_ready": ("a host is there and not ready in time", "wait longer; it opens its doors, or drains"),
    "answer_unknown": ("the host's answer is not one that this client knows", "use a client of the host's release"),
    "request_cancelled": ("the client took the request back", "nothing: it was meant"),
    "request_deadline": ("the client's own `$deadline_ms` was over", "give it more time"),
    "response_too_large": ("the answer is larger than one message may be", "ask for less at once"),
    "slow_reader": ("the client did not read what it asked for", "read on, or follow less"),
    "too_slow": ("the connection did not say hello in time", "connect again"),
    "idle": ("the connection was silent for too long", "connect again, or `ping`"),
    "invalid_params": ("a parameter of the control protocol is wrong", "the message says which"),
    "unknown_method": ("the control protocol has no such method", "docs/control.md lists them"),
    "protocol_violation": ("bytes that are no message of the control protocol", "docs/protocol.md §15"),
}

SECTIONS: Final[tuple[tuple[str, str, Sentences], ...]] = (
    ("The bundle is refused", "Before anything of it is stored or run. Exit codes 3 to 6.", BUNDLE),
    ("The call never begins", "Nothing ran, and nothing was charged. Exit code 7.", CALLS),
    ("Installing and releasing", "Nothing was changed. Exit code 2.", RELEASES),
    ("Answers of users", "", ANSWERS),
    ("The host, its state, and commands", "", HOST),
    ("On the way to a host", "", WAY),
)
"""Title, what all of it has in common, the sentences."""
